"""Taking the sink away, on the same text: what it does to the surprisal of every token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.forward.trace import trace, trace_ids
from analysis.forward.visibility import Visibility
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import Bos
from analysis.progress import Progress
from analysis.results.trace import Trace

How = Literal["hide token 0", "without bos", "with bos", "replace token 0", "silence heads"]
HOW: tuple[How, ...] = get_args(How)
"""Ways to break a sink."""


def break_sink(
    model: LanguageModel,
    trace_before: Trace,
    how: How,
    *,
    heads: Sequence[tuple[int, int]] = (),
    replacement: str = "\n",
    on_progress: Progress | None = None,
) -> Trace:
    """Run the same text again with its sink taken away.

    Parameters
    ----------
    model : LanguageModel
        The one that made the run.
    trace_before : Trace
        A run of the whole text with nothing hidden. Its settings are kept.
    how : str
        "hide token 0" from all later queries; "without bos" or "with bos": leave out the
        added beginning-of-text token, or add one; "replace token 0" by ``replacement``;
        "silence heads": their output becomes zero.
    heads : sequence of (int, int), optional
        (layer, query head) pairs to silence.
    replacement : str, default a line break
        Text in the place of the first token. What follows may be tokenized differently.
    on_progress : callable, optional
        ``on_progress(share, what)``.

    Returns
    -------
    Trace
        Compare with :func:`surprisal_change`.

    Raises
    ------
    AnalysisError
        If the run already hid something, or the change would change nothing.
    ValueError
        If ``how`` or a head does not exist.
    """
    spec, tokens = trace_before.spec, trace_before.tokens
    if how not in HOW:
        raise ValueError(f"how must be one of {HOW}, got {how!r}")
    if spec.visibility:
        raise AnalysisError(
            f"This run already hides something: {spec.visibility}.", "Start from the plain run."
        )
    if spec.model != model.info.name:
        raise AnalysisError(f"The run was made with {spec.model}.", "Load that model, or run the text again.")
    text, bos, visibility = trace_before.text, _bos(spec.bos), None
    given = bool(spec.ids_sha256)
    added = bool(tokens.is_special[0] and (given or tokens.start[0] < 0))
    if how == "hide token 0":
        hidden = np.zeros(len(tokens), bool)
        hidden[0] = True
        visibility = Visibility(hidden=hidden, first_query=1)
    elif how == "silence heads":
        visibility = Visibility(silenced=_existing(trace_before, heads))
    elif how == "replace token 0":
        first_cell = tokens.cell == tokens.cell[0]
        first = "" if added else text[: int(tokens.end[first_cell].max())]
        if replacement == first and not added:
            raise AnalysisError(f"The text already begins with {first!r}.", "Choose another replacement.")
        text, bos = replacement + text[len(first) :], "never"
    elif added == (how == "with bos"):
        state = "already begins with an added" if added else "was made without an added"
        raise AnalysisError(f"The run {state} beginning-of-text token.", "Hide or replace token 0 instead.")
    else:
        bos = "always" if how == "with bos" else "never"
    settings: dict[str, Any] = {
        "top_k": spec.top_k,
        "lens": list(spec.lens_layers) or False,
        "stride": spec.stride,
        "window": spec.window,
        "visibility": visibility,
        "on_progress": on_progress,
    }
    if given:
        return trace_ids(model, _other_beginning(model, tokens.token_id, how, replacement), **settings)
    return trace(model, text, bos=bos, parse_special=spec.parse_special, **settings)


def _other_beginning(model: LanguageModel, ids: np.ndarray, how: How, replacement: str) -> np.ndarray:
    """Tokens that were given, with another first one where that is what is done."""
    if how == "without bos":
        return ids[1:]
    if how == "with bos":
        if model.tokenizer.bos_token_id is None:
            raise AnalysisError(
                "This tokenizer has no beginning-of-text token.", "Hide or replace token 0 instead."
            )
        return np.array([model.tokenizer.bos_token_id, *ids])
    if how == "replace token 0":
        with model.lock:
            first = model.tokenizer(replacement, add_special_tokens=False)["input_ids"]
        return np.array([*first, *ids[1:]])
    return ids


def _bos(name: str) -> Bos:
    return next(choice for choice in get_args(Bos) if choice == name)


def _existing(run: Trace, heads: Sequence[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """The heads, if there are any and all of them exist."""
    if not heads:
        raise AnalysisError("No heads are chosen.", "Choose one or more heads to silence.")
    n_heads = run.attention.n_heads if run.attention is not None else None
    for layer, head in heads:
        if not 0 <= layer < run.spec.n_layers or head < 0 or (n_heads is not None and head >= n_heads):
            raise ValueError(f"there is no head {head} in layer {layer}")
    return frozenset((int(layer), int(head)) for layer, head in heads)


def surprisal_change(before: Trace, after: Trace) -> pd.DataFrame:
    """Surprisal of the same stretches of text in two runs.

    Parameters
    ----------
    before, after : Trace
        Runs of texts with the same ending, for instance from :func:`break_sink`.

    Returns
    -------
    pandas.DataFrame
        One row per shortest stretch that is whole tokens in both runs: ``position`` of its
        first token in ``before``, ``token`` (its text), ``tokens_before``, ``tokens_after``
        (how many), ``surprisal_before``, ``surprisal_after`` and ``change`` (after minus
        before) in nats, NaN where a run had no context. Added tokens have no row.

    Notes
    -----
    Tokens are placed by the bytes of text behind them, so a changed beginning moves
    nothing. Surprisal adds up along a text: where the tokens differ, the sums are compared.
    """
    a, b = _bytes_behind(before), _bytes_behind(after)
    shared = _shared_ending(before.text, after.text)
    # A boundary is a number of bytes left; every stretch runs from one to the next.
    common = sorted(({0, *a[0]} & {0, *b[0]} & set(range(shared + 1))), reverse=True)
    rows = []
    for start, end in pairwise(common):
        mine, theirs = (index[(left <= start) & (left > end)] for left, index in (a, b))
        was, now = (
            float(run.tokens.surprisal[i].sum(dtype=float)) for run, i in ((before, mine), (after, theirs))
        )
        text = "".join(before.tokens.text[i] for i in mine)
        rows.append((int(mine[0]), text, len(mine), len(theirs), was, now, now - was))
    columns = [
        "position",
        "token",
        "tokens_before",
        "tokens_after",
        "surprisal_before",
        "surprisal_after",
        "change",
    ]
    return pd.DataFrame(rows, columns=columns)


def mean_change(frame: pd.DataFrame) -> float:
    """Mean change of surprisal, nats per token of the first run; NaN if nothing is comparable."""
    known = frame[frame["change"].notna()]
    return float(known["change"].sum() / known["tokens_before"].sum()) if len(known) else float("nan")


def largest_state(run: Trace) -> float:
    """Largest norm of any token's state in any layer."""
    return float(run.layers.residual_norm.max())


def _bytes_behind(run: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Bytes from each token's beginning to the end of the text, and the tokens' positions."""
    index = np.flatnonzero(run.tokens.n_bytes)
    return np.cumsum(run.tokens.n_bytes[index][::-1])[::-1], index


def _shared_ending(first: str, second: str) -> int:
    """Bytes at the end of two texts that are equal."""
    one, two = (np.frombuffer(text.encode(), np.uint8)[::-1] for text in (first, second))
    n = min(len(one), len(two))
    different = np.flatnonzero(one[:n] != two[:n])
    return int(different[0]) if len(different) else n
