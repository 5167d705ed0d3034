"""Pruning effects: what the model can forget of its cache, or of the prompt, and what that costs."""

import streamlit as st

from app import state
from app.choice import choose
from app.widgets.layout import heading
from app.widgets.run_bar import run_bar

VIEWS = ("KV cache", "prompt")

bar = st.container()
line = heading("pruning_effects")
view = choose("What is pruned", VIEWS, key=state.PRUNING_VIEW, place=line, titled=False)
with bar:
    run_bar(shows_run=view == VIEWS[0])

if view == "prompt":
    from app.panels.pruning_effects.compression.view import prompt_compression

    prompt_compression(line)
else:
    from app.panels.pruning_effects.eviction.view import kv_cache

    kv_cache(line)
