"""Pruning effects: what the model can forget of its cache, or of the prompt, and what that costs."""

import streamlit as st

from app import state
from app.navigation import question
from app.widgets.layout import one_of

VIEWS = ("KV cache", "prompt")

st.title("Pruning effects")
st.caption(question("pruning_effects"))
view = one_of("What is pruned", VIEWS, key=state.PRUNING_VIEW, bare=True)

if view == "prompt":
    from app.panels.pruning_effects.compression.view import prompt_compression

    prompt_compression()
else:
    from app.panels.pruning_effects.eviction.view import kv_cache

    kv_cache()
