"""Every key of the session and of the URL, in one place, with typed readers."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from analysis.units import Unit

# Model and unit, in the URL
KIND, SOURCE, REVISION = "from", "model", "revision"
ADAPTER, BASE = "adapter", "base"
DEVICE, PRECISION, UNIT = "device", "precision", "unit"
WATCHED = "watched"
"""What the page reports: a switch of the theme, steps along the tokens."""
PROJECTOR = "projector"
"""Whether everything is drawn larger, for people who sit far away; also in the URL."""
CARD = "card"
"""In the URL only: the card that is shown alone, for a frame in another page."""

# The text and how to read it, shared by all pages
EXAMPLE = "example"
"""In the URL only: the example that the text is."""
FILL_IN = "fill_in"
"""Examples whose text may be put into the form."""
TEXT, TEXT_FILE = "text", "text_file"
BOS, PARSE_SPECIAL, WINDOWS, STRIDE = "bos", "special", "windows", "stride"

# The run on screen and the token chosen in it
RUN = "run"
"""The request that was asked for last, an :class:`app.compute.requests.RunRequest`."""
SHOWN = "shown"
"""The last request that was finished: its pictures stay while a newer one runs."""
EDIT = "edit"
"""The form of the text, see :mod:`app.widgets.form_popover`."""
PRESSED = "pressed"
"""Key and label of the button pressed last, until it is obeyed, see :mod:`app.widgets.pressed`."""
REFUSED = "refused"
"""What was wrong with the chosen model when Run was pressed last; said until it is another."""
BACKGROUND = "background"
"""Keys of what was computed about the run on screen without being asked for; dropped with a new run."""
OPENED = "opened_trace"
"""A run opened from a file; shown instead of :data:`RUN` until the next run."""
OPENED_ID = "opened_id"
"""The upload it came from."""
SESSION_UPLOAD, SESSION_WITHOUT = "session_upload", "session_without"
"""The session file opened last, and what was on screen where it was saved but is not in it."""
TOKEN = "token"
"""Position of the chosen token, also in the URL."""
PICKED = "picked"
"""Clicks that were taken, by chart."""

# Write: what is on screen, the model that wrote it (None for an opened file), what its caches take, its branch and chosen token, the tree
WRITING, WRITER, WRITE_MEMORY = "writing", "writer", "write_memory"
BRANCH, WRITTEN_TOKEN, WRITE_TREE = "branch", "written_token", "write_tree"
# ... the key of the job that writes now, why the last one failed, the upload opened last, what is read for another page
WRITING_JOB, WRITING_SAID, WRITING_UPLOAD, READ_ON = (
    "writing_job",
    "writing_said",
    "writing_upload",
    "read_on",
)
# ... its form, whose later turns have keys of their own, and its options
WRITE_AS, PROMPT_TEXT, SYSTEM, MESSAGE = "as", "prompt_text", "system", "message"
N_TURNS, THINKING = "n_turns", "thinking"
N_WRITTEN, N_ANSWERS, STOP_STRINGS = "new", "answers", "write_stop"
WRITE_SEED, WRITE_SAMPLERS = "write_seed", "write_samplers"
# ... and its cards
COMPARED_BRANCH, RULE, KEPT_ALONE, STRENGTH = "compared_branch", "rule", "kept_alone", "strength"
ANSWER_BY, ANSWER_PATTERN, RIGHT_ANSWER, N_EACH = "answer_by", "answer_pattern", "right_answer", "each"

# Compare: what is on screen, the request it came from, what is drawn of it, which way round, and the chosen item
COMPARISON, COMPARED_REQUEST, SHOWN_COMPARISON = "comparison", "compared_request", "shown_comparison"
SWAPPED, COMPARED_ITEM = "swapped", "compared_item"
# ... the request that runs now, why the last one failed, the files opened last, the run of a file that is side B
COMPARE_REQUEST, COMPARE_SAID = "compare_request", "compare_said"
COMPARE_UPLOAD, SECOND_UPLOAD, SECOND_RUN = "compare_upload", "second_upload", "second_run"
# ... its form: in what B differs, and the options of that
CHANGE_KIND = "b"
CHANGE_BOS, CHANGE_PRECISION, CHANGE_GRID = "b_bos", "b_precision", "b_grid"
CHANGE_ADAPTER, CHANGE_STRENGTH = "b_adapter", "b_strength"
CHANGE_WINDOW, CHANGE_SINKS = "b_window", "b_sinks"
CHANGE_METHOD, CHANGE_KEPT = "b_method", "b_kept"
CHANGE_MODEL, CHANGE_REVISION = "b_model", "b_revision"
# ... and its cards
COMPARE_VIEW, COMPARED_QUANTITY, CHANGED_BY = "compare", "change", "changed_by"
ALONG_QUANTITY, ALONG_LOG = "along", "along_log"
COMPARE_ALONG, COMPARE_BELOW, COMPARE_QUADRANTS = "compare_along", "compare_below", "compare_quadrants"
CHANGED_TABLE, CHANGED_ROWS = "changed_table", "changed_rows"
COMPARED_HEADS, COMPARED_LAYERS = "compared_heads", "compared_layers"
COMPARE_RULE, RULE_CHART = "compare_rule", "compare_rule_chart"
ROLLOUT_FILE, ROLLOUT_EXAMPLE = "rollout_file", "rollout_example"

# Visual tokens: the answer on screen, the request it came from, the one that runs now, why the last one failed, the file opened
LOOK, LOOKED_REQUEST, LOOK_REQUEST, LOOK_SAID, LOOK_FILE = "look_shown", "looked_request", "look_request", "look_said", "look_file"  # fmt: skip
# ... its form: model, where the picture comes from, scene, question; what was filled in, and the picture of a person
LOOK_MODEL, LOOK_SOURCE, SCENE, LOOK_QUESTION = "vision_model", "picture", "scene", "look_question"
LOOK_FILLED, LOOK_UPLOAD, LOOK_CAMERA, LOOK_PICTURE = "look_filled", "look_upload", "look_camera", "look_picture"  # fmt: skip
# ... the chosen written token and patch, layer and head, and its cards
LOOK_VIEW, LOOK_TOKEN, PATCH, LOOK_LAYER, LOOK_HEAD = "visual", "written", "patch", "look_layer", "look_head"
LOOK_SINKS, LOOK_PLAIN, LOOK_MAP, LOOK_SHARES, LOOK_HEADS = "without_sinks", "look_plain", "look_map", "look_shares", "look_heads"  # fmt: skip
VISUAL_METHODS, VISUAL_KEPT, VISUAL_METRIC, VISUAL_COUNTED = "visual_methods", "visual_kept", "visual_metric", "visual_counted"  # fmt: skip
VISUAL_SETTING, PRUNED_MAP, SPLIT_QUESTIONS, SPLIT_KIND = "visual_setting", "pruned_map", "split_questions", "split_kind"  # fmt: skip
SPLIT_COUNTED, HORIZON_SIDE, HORIZON_CURVE, HORIZON_MAP = "split_counted", "horizon_side", "horizon_curve", "horizon_map"  # fmt: skip
HORIZON_WHICH, HORIZON_QUESTIONS, VISUAL_LAYERS, PATCH_MAP = "horizon_which", "horizon_questions", "visual_layers", "patch_map"  # fmt: skip
PATCH_QUANTITY, COLLAPSE_SCENES, COLLAPSE_TOKENS, FRAGILE_NOISE = "patch_quantity", "collapse_scenes", "collapse_tokens", "fragile_noise"  # fmt: skip
FRAGILE_LEVELS, FRAGILE_SCENES, SECOND, SECOND_KIND, SECOND_SCENE = "fragile_levels", "fragile_scenes", "second", "second_kind", "second_scene"  # fmt: skip
SECOND_QUESTION, SECOND_TOKEN, PAIR_PART, PAIR_A, PAIR_B = "second_question", "second_written", "pair_part", "pair_a", "pair_b"  # fmt: skip
PAIR_SHARES, PAIR_DIFFERENCE, MAP_PART = "pair_shares_chart", "pair_difference", "map_part"

# Overview
# What colours the text; clicks that were taken, by chart; the two charts over layers, whose clicks choose layer and head
XRAY_COLOUR, XRAY_PICKED = "show", "xray_picked"
XRAY_SINKS, XRAY_ENTROPY = "overview_sinks", "overview_entropy"

# Lessons: the lesson, its step and where its slider is, predictions that were committed to (a digit a step), what is read
LESSON, LESSON_STEP, LESSON_AT, PREDICTED, LESSON_READS = "lesson", "step", "at", "predicted", "reads"
# ... a person's own text, the form of it, and the prediction that is chosen but not committed to
LESSON_TEXT, LESSON_FORM, LESSON_CHOSEN = "lesson_text", "lesson_form", "lesson_chosen"
LESSON_TURN = "lesson_turn"
"""How often a slider was moved by something else than itself."""

# Attention sinks
SINKS_VIEW, HEAD_QUANTITY = "sinks", "heads"
LAYER = "layer"
HEAD = "head"
"""Layer and head that were chosen, also in the URL."""
RECEIVED, EPSILON, OTHER_EXAMPLE, POOL = "received", "epsilon", "other", "pool"
MAP_SCALE, MAP_SHOWS, MAP_WITHOUT_FIRST = "map_scale", "map_shows", "map_without_0"
TRIAD_OF, SINKS_EXPERIMENT = "triad", "experiment"
COMPARED = "compared"
"""The example that was compared with."""
STREAM_WINDOW, STREAM_SINKS = "stream_window", "stream_sinks"
BREAK, SILENCED = "break", "silenced"

# Entropy collapse
COLLAPSE_VIEW, LAYER_QUANTITY, RENYI_ORDER = "view", "quantity", "order"
SCALE, STATES, COLLAPSE_OF = "scale", "states", "of"
LAYERS_CHART = "layers_chart"
"""The chart over layers; its clicks choose the layer."""
LAYER_PICKED = "layer_picked"
COMPARE_TEXTS, COMPARE_MODELS, CHECKPOINT = "texts", "models", "checkpoint"

# Entropy collapse: training logs
LOG_PICTURES, LOG_METRIC, LOG_X = "training", "metric", "x"
LOG_SOURCES, LOG_UPLOADS = "training_sources", "training_uploads"
LOG_UPLOADS_SHOWN = "training_uploads_shown"
LOG_FOLDER, LOG_PATH = "training_folder", "training_path"
LOG_VERSIONS = "training_versions"
"""How often each source was asked to be read again."""
LOG_COLUMNS = "training_columns"
"""Columns chosen by hand, by the source's id."""
LOG_READ = "training_read"
"""What was read last, by source: it outlives the worker's own memory, and stays while a log is read again."""
LOG_EVERY = "training_every"
LOG_SEEN = "training_seen"
"""Files of every source as they were when they were last looked at."""
LAW_RUN, SMOOTHING, FIRST_PART = "law_run", "smoothing", "first_part"
ENTROPY_UNDER = "training_under"
"""Threshold for a run's entropy, nats; of the session."""

# Entropy collapse: live labs
LAB, LAB_PICTURES, BACKCOPY_PICTURES = "lab", "squares", "backcopy"
INTERVENTIONS, LAB_SEED, LAB_STEPS, LAB_CONSTANTS = "interventions", "seed", "steps", "constants"
SQUARES_FINISHED = "four_squares.finished"
SQUARES_REQUEST = "four_squares.asked"
"""Runs of this tab by the key of their settings, and the last task asked for."""
SQUARES_NUMBERS = "squares_numbers"
BACKCOPY_LAYERS, BACKCOPY_OPTIMIZER = "layers", "optimizer"
BACKCOPY_ATTENTION, BACKCOPY_STEPS = "attention", "train_steps"
BACKCOPY_REQUEST = "backcopy.asked"

# Pruning effects. Constants of eviction methods have the keys that the methods declare with them (policies/controls.py)
PRUNING_VIEW, EVICTION_PICTURES, FOLLOWS = "pruning", "pictures", "follows"
CONTINUATION = "continuation"
CONTINUATION_FILLED = "continuation_filled"
"""The end of the text that was put into the field last."""
CONTINUATION_TOKENS = "after"
QUESTION, ANSWER = "question", "answer"
METHODS, KEPT = "methods", "kept"
SEEDS, EVICTED = "seeds", "evicted"
CURVE, CURVE_SCALE = "curve", "curve_scale"
METHOD, METHOD_KEPT = "method", "share"
KV_HEAD = "kv_head"
DAMAGE, PHRASE = "damage", "needle"
COMPRESSION_PICTURES = "prompt"
COMPRESSION_METHODS = "compress"
COMPRESSION_UNIT = "compress_unit"
COMPRESSION_CONTEXT, COMPRESSION_QUESTION = "compression_context", "compression_question"
COMPRESSION_ANSWER = "compression_answer"
COMPRESSION_REQUEST = "compression.asked"
"""The compression on screen, an :class:`app.compute.requests.Experiment`."""
SWEEP = "sweep"
"""The sweep on screen, an :class:`app.panels.pruning_effects.eviction.sweep_request.SweepRequest`."""
OPENED_SWEEP = "opened_sweep"
"""A sweep of an opened session, and what was on screen with it: the opened run and the last finished request."""

# Papers
PAPER_WORDS, PAPER_PICTURE, PAPERS_ALL = "words", "about", "all_papers"

# Token entropy
ENTROPY_VIEW = "entropy"
QUANTITY = "color"
FORKING_SHARE = "forking"
SHOW_WINDOWS, WINDOW_WIDTH, WINDOW_PERCENTILE, THRESHOLD = "hew", "hew_width", "hew_percentile", "threshold"
MARK, TRIGGER_WINDOW, TRIGGER_FACTOR = "mark", "srgen_tokens", "srgen_deviations"
LENS_QUANTITY = "lens"
LENS_STEP = "lens_step"
ALONG_CHART, SCATTER_CHART, LENS_BAR, LENS_WINDOW = "along_chart", "scatter_chart", "lens_bar", "lens_window"
"""Pictures whose clicks choose the token, and the last one the layer."""
LENS_FIRST = "lens_first"
"""First token of the lens' window; it stays while the chosen token is in it."""
SAMPLERS = "samplers"
"""Whether the samplers are unfolded."""


def strip_selection(key: str) -> str:
    """Where the token strip of this key keeps its selection."""
    return f"_token_strip_{key}"


def turn(number: int) -> str:
    """Where the text of a turn of a chat is kept, counted from the one after the first message."""
    return f"turn_{number}"


def lesson_slider(slug: str, number: int) -> str:
    """Where the place of a lesson's slider is kept, by its step."""
    return f"at_{slug}_{number}"


def lesson_widget(slug: str, number: int) -> str:
    """Key of that slider: another one whenever something else moved it."""
    return f"{lesson_slider(slug, number)}_{st.session_state.get(LESSON_TURN, 0)}"


def renewals(name: str) -> str:
    """Where it is counted how often the app itself changed a form or a field of text, by its name."""
    return f"{name}_renewals"


def widget_key(name: str) -> str:
    """Key of it: another one whenever the app changes it, so that the browser has nothing old to say of it."""
    return f"{name}_{st.session_state.get(renewals(name), 0)}"


def lesson_form(slug: str) -> str:
    """Where the text or the seed in the form of a lesson is kept."""
    return f"lesson_form_{slug}"


def change_text(kind: str) -> str:
    """Where the text of side B is kept for a kind of change that needs one."""
    return f"b_text_{kind}"


def rule_constant(rule: str, name: str) -> str:
    """Where a constant of a rule over two sides is kept."""
    return f"rule_{rule}_{name}"


def sampler(name: str) -> str:
    """Where the setting of a sampler of the page Write is kept."""
    return f"write_{name}"


def map_part(n_tokens: int) -> str:
    """Where the part of a text of so many tokens that a head's map draws is kept."""
    return f"zoom_{n_tokens}"


def unit() -> Unit:
    """Unit of information chosen in the sidebar."""
    return "bits" if st.session_state.get(UNIT) == "bits" else "nats"


def theme_name() -> Literal["light", "dark"]:
    """Theme the browser shows."""
    return "dark" if st.context.theme.type == "dark" else "light"


def is_projector() -> bool:
    """Whether the projector mode is on: as it was switched, or as the address says."""
    return bool(st.session_state.setdefault(PROJECTOR, st.query_params.get(PROJECTOR) == "on"))


def number_of(key: str) -> int | None:
    """Whole number from 0 under a key of the session, else of the URL; None where there is none."""
    value = st.session_state.get(key)
    if value is None:
        text = st.query_params.get(key, "")
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
    return None if value is None or value < 0 else int(value)


def of_method(key: str) -> str:
    """Key of a constant of an eviction method: declared with its control in the method's file, under its own word."""
    return key
