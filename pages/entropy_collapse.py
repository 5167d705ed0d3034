"""Entropy collapse: over layers, over training, or live. The page always says which one it shows."""

import streamlit as st

from app import state
from app.choice import choose
from app.widgets.layout import heading
from app.widgets.run_bar import run_bar

VIEWS = ("over layers", "over training", "live lab")

bar = st.container()
line = heading("entropy_collapse")
view = choose("Which collapse", VIEWS, key=state.COLLAPSE_VIEW, place=line, titled=False)
with bar:
    run_bar(shows_run=view == VIEWS[0])

if view == "over layers":
    from app.panels.entropy_collapse.layers.view import over_layers

    over_layers(line)
elif view == "over training":
    from app.panels.entropy_collapse.training.view import over_training

    over_training(line)
else:
    from app.panels.entropy_collapse.labs import live_lab

    live_lab(line)
