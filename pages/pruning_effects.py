"""Pruning effects: what the model can forget of its cache, or of the prompt, and what that costs."""

import streamlit as st

from app import state
from app.widgets.layout import heading
from app.widgets.run_bar import run_bar

VIEWS = ("KV cache", "prompt")

bar = st.container()
view = heading("pruning_effects").segmented_control(
    "What is pruned",
    VIEWS,
    default=VIEWS[0],
    required=True,
    key=state.PRUNING_VIEW,
    bind="query-params",
    label_visibility="collapsed",
)
with bar:
    run_bar(starts=view == VIEWS[0])

if view == "prompt":
    from app.panels.pruning_effects.compression.view import prompt_compression

    prompt_compression()
else:
    from app.panels.pruning_effects.eviction.view import kv_cache

    kv_cache()
