"""Entropy collapse: over layers, over training, or live. The page always says which one it shows."""

import streamlit as st

from app import state
from app.navigation import question
from app.widgets.layout import one_of

VIEWS = ("over layers", "over training", "live lab")

st.title("Entropy collapse")
st.caption(question("entropy_collapse"))
view = one_of("Which collapse", VIEWS, key=state.COLLAPSE_VIEW, bare=True)

if view == "over layers":
    from app.panels.entropy_collapse.layers.view import over_layers

    over_layers()
elif view == "over training":
    from app.panels.entropy_collapse.training.view import over_training

    over_training()
else:
    from app.panels.entropy_collapse.labs import live_lab

    live_lab()
