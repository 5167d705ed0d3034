"""Pruning effects: what the model can forget of its cache, or of the prompt, and what that costs."""

import streamlit as st

from app import state
from app.navigation import question

VIEWS = ("KV cache", "prompt")

st.title("Pruning effects")
st.caption(question("pruning_effects"))
view = st.segmented_control(
    "What is pruned",
    VIEWS,
    default=VIEWS[0],
    required=True,
    key=state.PRUNING_VIEW,
    bind="query-params",
    label_visibility="collapsed",
)

if view == "prompt":
    from app.panels.pruning_effects.compression.view import prompt_compression

    prompt_compression()
else:
    from app.panels.pruning_effects.eviction.view import kv_cache

    kv_cache()
