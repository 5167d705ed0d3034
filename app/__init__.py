"""The Streamlit shell: everything a person sees and presses."""
