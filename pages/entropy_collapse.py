"""Entropy collapse: over layers, over training, or live. The page always says which one it shows."""

import streamlit as st

from app import state
from app.choice import choose
from app.navigation import question

VIEWS = ("over layers", "over training", "live lab")

st.title("Entropy collapse")
st.caption(question("entropy_collapse"))
view = choose("Which collapse", VIEWS, key=state.COLLAPSE_VIEW, titled=False)

if view == "over layers":
    from app.panels.entropy_collapse.layers.view import over_layers

    over_layers()
elif view == "over training":
    from app.panels.entropy_collapse.training.view import over_training

    over_training()
else:
    from app.panels.entropy_collapse.labs import live_lab

    live_lab()
