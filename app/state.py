"""Every key of the session and of the URL, in one place, with typed readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import streamlit as st

from analysis.units import Unit

if TYPE_CHECKING:
    from analysis.results.tokens import TokenTrace

# Sidebar, in the URL
KIND = "from"
SOURCE = "model"
REVISION = "revision"
ADAPTER = "adapter"
BASE = "base"
DEVICE = "device"
PRECISION = "precision"
UNIT = "unit"

# The text and how to read it, shared by all pages
EXAMPLE = "example"
TEXT = "text"
BOS = "bos"
PARSE_SPECIAL = "special"
WINDOWS = "windows"
STRIDE = "stride"

# The run on screen and the token chosen in it
RUN = "run"
"""The request whose result is shown, an :class:`app.compute.requests.RunRequest`."""
OPENED = "opened_trace"
"""A run opened from a file; shown instead of :data:`RUN` until the next run."""
TOKEN = "token"
"""Position of the chosen token, also in the URL."""

# Attention sinks
HEAD_QUANTITY = "heads"
LAYER = "layer"
HEAD = "head"
RECEIVED = "received"
EPSILON = "epsilon"
OTHER_EXAMPLE = "other"
POOL = "pool"
STREAM_WINDOW = "stream_window"
STREAM_SINKS = "stream_sinks"
BREAK = "break"
SILENCED = "silenced"

# Entropy collapse
COLLAPSE_VIEW = "view"
LAYER_QUANTITY = "quantity"
RENYI_ORDER = "order"
SCALE = "scale"
STATES = "states"
SPECTRUM_LAYER = "spectrum"
COMPARE_TEXTS = "texts"
COMPARE_MODELS = "models"
CHECKPOINT = "checkpoint"

# Entropy collapse: training logs
LOG_METRIC = "metric"
LOG_X = "x"
SMOOTHING = "smoothing"
FIRST_PART = "first_part"
ENTROPY_UNDER = "training_under"
"""Threshold for a run's entropy, nats; of the session."""

# Entropy collapse: live labs
LAB = "lab"
INTERVENTIONS = "interventions"
LAB_SEED = "seed"
LAB_STEPS = "steps"
LAB_CONSTANTS = "constants"
BACKCOPY_LAYERS = "layers"
BACKCOPY_OPTIMIZER = "optimizer"
BACKCOPY_ATTENTION = "attention"
BACKCOPY_STEPS = "train_steps"

# Pruning effects
PRUNING_VIEW = "pruning"
FOLLOWS = "follows"
CONTINUATION = "continuation"
CONTINUATION_TOKENS = "after"
QUESTION = "question"
ANSWER = "answer"
METHODS = "methods"
KEPT = "kept"
SEEDS = "seeds"
VOTERS = "voters"
FORGETTING = "forgetting"
ROUNDS = "rounds"
ROUND_MARK = "round_mark"
DECAY = "decay"
EVICTED = "evicted"
CURVE = "curve"
CURVE_SCALE = "curve_scale"
METHOD = "method"
METHOD_KEPT = "share"
KV_HEAD = "kv_head"
DAMAGE = "damage"
NEEDLE = "needle"
COMPRESSION_METHODS = "compress"
COMPRESSION_UNIT = "compress_unit"
SWEEP = "sweep"
"""The sweep on screen, an :class:`app.panels.pruning_effects.eviction.asked.Asked`."""

# Token entropy
QUANTITY = "color"
FORKING_SHARE = "forking"
SHOW_WINDOWS = "hew"
WINDOW_WIDTH = "hew_width"
WINDOW_PERCENTILE = "hew_percentile"
THRESHOLD = "threshold"
MARK = "mark"
TRIGGER_WINDOW = "srgen_tokens"
TRIGGER_FACTOR = "srgen_deviations"
LENS_QUANTITY = "lens"
LENS_STEP = "lens_step"


def unit() -> Unit:
    """Unit of information chosen in the sidebar."""
    return "bits" if st.session_state.get(UNIT) == "bits" else "nats"


def theme_name() -> Literal["light", "dark"]:
    """Theme the browser shows."""
    return "dark" if st.context.theme.type == "dark" else "light"


def chosen_token(tokens: TokenTrace) -> int:
    """Position of the chosen token; the first forking token until a person chooses.

    A URL or an older run may name a token that is not there.
    """
    value = st.session_state.get(TOKEN)
    if value is None:
        text = st.query_params.get(TOKEN, "")
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
    if value is not None and 0 <= value < len(tokens):
        return int(value)
    from analysis.token_entropy.measures import forking_tokens  # pandas comes with it: not before the heading

    return int(np.flatnonzero(forking_tokens(tokens.entropy))[0])


def choose_token(position: int) -> None:
    """Choose a token on all pages and in the URL."""
    st.session_state[TOKEN] = position
    st.query_params[TOKEN] = str(position)
