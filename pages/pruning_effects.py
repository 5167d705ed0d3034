"""Pruning effects: what the model can forget of its cache, or of the prompt, and what that costs."""

import streamlit as st

from app import state
from app.choice import choose
from app.navigation import question

VIEWS = ("KV cache", "prompt")

st.title("Pruning effects")
st.caption(question("pruning_effects"))
view = choose("What is pruned", VIEWS, key=state.PRUNING_VIEW, titled=False)

if view == "prompt":
    from app.panels.pruning_effects.compression.view import prompt_compression

    prompt_compression()
else:
    from app.panels.pruning_effects.eviction.view import kv_cache

    kv_cache()
