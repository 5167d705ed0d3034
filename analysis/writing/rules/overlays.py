"""Rules from papers in one form, to be laid over a text: which tokens each would act at, and the level it compares with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.papers.citations import cited
from analysis.results.tokens import TokenTrace, printable
from analysis.token_entropy import measures
from analysis.writing.rules import cntp, deep_thinking, deepconf, segments, swi_reasoning
from analysis.writing.rules.deep_thinking import DeepThinking

if TYPE_CHECKING:
    import pandas as pd

STRETCH = 32
"""Tokens of DeepConf's stretches here; 2,048 in the paper, more than most texts have."""
DWELL = 32
"""Tokens that SwiReasoning's rule writes at least here; 512 in the paper."""
KNOWN: dict[str, str] = {
    "cautious trials": cntp.KNOWN,
    "moving threshold": (
        "Code read. It would correct the state there; here the text goes on as it is. Population standard deviation; no "
        "threshold before a full window, where its code has 3 nats."
    ),
    "thinking switches": (
        f"{swi_reasoning.KNOWN} It writes for {swi_reasoning.DWELL} tokens at least in the paper, for {DWELL} here."
    ),
    "group confidence": deepconf.KNOWN,
    "high-entropy windows": (
        "Code read. Its windows follow words of a list, and its threshold moves over training; here every window counts, "
        "and the threshold is this text's."
    ),
    "surprise gap": (
        "Abstract only: the formula and the band of RSI were not found. This is the gap, and no RSI: nothing is marked."
    ),
    "segments": segments.KNOWN,
    "deep-thinking tokens": deep_thinking.KNOWN,
}
"""How well each rule is known, and what is different here."""


@dataclass(frozen=True)
class Overlay:
    """What one rule says about the tokens of a text."""

    rule: str
    """Name of the rule, see :data:`RULES`."""
    says: str
    """What a mark means, and how many there are, one sentence."""
    source: str
    known: str
    """How well the rule is known, and what is different here."""
    constants: tuple[tuple[str, float], ...]
    """Name and value of every constant, with its unit in the name."""
    marks: np.ndarray
    """bool, (T,): tokens that the rule would act at."""
    level: np.ndarray | None = None
    """float64, (T,): what is drawn along the text; NaN where there is none."""
    level_name: str = ""
    level_power: int = 0
    """1 for nats, 0 for a plain number."""

    @property
    def positions(self) -> tuple[int, ...]:
        """Marked tokens, in order."""
        return tuple(int(t) for t in np.flatnonzero(self.marks))

    def to_frame(self, tokens: TokenTrace) -> pd.DataFrame:
        """One row per token."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "position": np.arange(len(tokens)),
                "token": [printable(t) for t in tokens.text],
                "marked": self.marks,
            }
        )
        name = self.level_name.replace(" ", "_") + ("_nats" if self.level_power else "")
        return frame if self.level is None else frame.assign(**{name: self.level})


def _cautious_trials(tokens: TokenTrace, _thinking_end: int | None) -> Overlay:
    found = cntp.cautious_trials(tokens.top_logprobs, tokens.text)
    many = f"{len(found.positions)} tokens would be tried more than once"
    unknown = (
        f"; for {found.n_unknown} the stored probabilities leave the number open" if found.n_unknown else ""
    )
    constants = (
        ("temperature", cntp.TEMPERATURE),
        ("top-p", cntp.TOP_P),
        ("one trial up to, nats", cntp.LOW),
        ("all trials from, nats", cntp.HIGH),
        ("trials at most", float(cntp.TRIALS)),
    )
    level = np.where((found.least == found.most) & (found.least > 0), found.least, np.nan).astype(np.float64)
    return Overlay(
        "cautious trials",
        f"{many}{unknown}.",
        found.source,
        found.known,
        constants,
        found.least > 1,
        level,
        "trials",
    )


def _moving_threshold(tokens: TokenTrace, _thinking_end: int | None) -> Overlay:
    threshold = measures.moving_threshold(tokens.entropy)
    marks = measures.triggers(tokens.entropy, threshold)
    return Overlay(
        "moving threshold",
        f"{int(marks.sum())} tokens have an entropy above the threshold that the {measures.TRIGGER_WINDOW} before set.",
        f"SRGen, {cited('srgen')}, with the constants of its scripts.",
        KNOWN["moving threshold"],
        (
            ("window, tokens", float(measures.TRIGGER_WINDOW)),
            ("standard deviations", measures.TRIGGER_FACTOR),
            ("never below, nats", measures.TRIGGER_FLOOR),
        ),
        marks,
        threshold,
        "threshold",
        1,
    )


def _thinking_switches(tokens: TokenTrace, thinking_end: int | None) -> Overlay:
    found = swi_reasoning.switches(tokens.entropy, thinking_end, DWELL)
    marks = np.isin(np.arange(len(tokens)), found.positions)
    return Overlay(
        "thinking switches",
        f"It would begin to write {len(found.to_explicit)} times and stop using words {len(found.to_latent)} times.",
        found.source,
        KNOWN["thinking switches"],
        (("writes at least, tokens", float(DWELL)),),
        marks,
        found.reference,
        "reference",
        1,
    )


def _group_confidence(tokens: TokenTrace, _thinking_end: int | None) -> Overlay:
    found = deepconf.confidence(tokens.top_logprobs, STRETCH)
    return Overlay(
        "group confidence",
        f"The least sure stretch begins at token {found.least_stretch[0]} and has {len(found.positions)} tokens.",
        found.source,
        found.known,
        (("stretch, tokens", float(STRETCH)), ("most probable tokens", float(found.k))),
        np.isin(np.arange(len(tokens)), found.positions),
        found.group,
        "confidence",
        1,
    )


def _high_entropy_windows(tokens: TokenTrace, _thinking_end: int | None) -> Overlay:
    marks, threshold = measures.high_entropy_windows(tokens.entropy)
    return Overlay(
        "high-entropy windows",
        f"{int(marks.sum())} tokens lie in a window of 4 whose mean entropy is at the 95th percentile or above.",
        f"ARES, {cited('ares')}, width and percentile of its scripts.",
        KNOWN["high-entropy windows"],
        (("window, tokens", 4.0), ("percentile", 95.0), ("threshold, nats", threshold)),
        marks,
        measures.window_mean(tokens.entropy, 4),
        "window mean",
        1,
    )


def _surprise_gap(tokens: TokenTrace, _thinking_end: int | None) -> Overlay:
    return Overlay(
        "surprise gap",
        "Surprisal minus entropy: above 0 the token was less expected than the model's own choices are on average.",
        f"After the relative surprisal index (RSI), {cited('rsi')}.",
        KNOWN["surprise gap"],
        (),
        np.zeros(len(tokens), bool),
        tokens.gap.astype(np.float64),
        "gap",
        1,
    )


RULES: dict[str, Callable[[TokenTrace, int | None], Overlay]] = {
    "cautious trials": _cautious_trials,
    "moving threshold": _moving_threshold,
    "thinking switches": _thinking_switches,
    "group confidence": _group_confidence,
    "high-entropy windows": _high_entropy_windows,
    "surprise gap": _surprise_gap,
}
"""Rules that follow from the numbers of a token trace; :func:`segments_overlay` asks for the text as well, and
:func:`deep_thinking_overlay` for the model."""


def overlay(rule: str, tokens: TokenTrace, first: int = 0, thinking_end: int | None = None) -> Overlay:
    """Lay one rule over a text.

    Parameters
    ----------
    rule : str
        A name of :data:`RULES`.
    tokens : TokenTrace
        Of a run, or of a branch.
    first : int, default 0
        First token that counts, such as the first written one: the rule sees nothing before it.
    thinking_end : int, optional
        First token after the thinking, for the rule that ends with it; see :func:`analysis.writing.spans.path_spans`.

    Raises
    ------
    AnalysisError
        If there is no such rule, or no token from ``first`` on has a context.
    """
    if rule not in RULES:
        raise AnalysisError(f"There is no rule {rule!r}.", f"Choose one of: {', '.join(RULES)}.")
    if not tokens.has_context[first:].any():
        raise AnalysisError("No token was predicted.", "Write or paste a text of two tokens or more.")
    names = ("surprisal", "entropy", "top_logprobs")
    seen = {name: getattr(tokens, name).astype(np.float64) for name in names}
    for values in seen.values():
        values[:first] = np.nan
        values[~tokens.has_context] = np.nan
    return RULES[rule](replace(tokens, **seen), thinking_end)


def segments_overlay(text: str, tokens: TokenTrace, first: int = 0) -> Overlay:
    """Mark code, tables and formulas of a text.

    Parameters
    ----------
    text : str
        What ``start`` and ``end`` of the tokens count in.
    tokens, first
        As for :func:`overlay`.
    """
    entropy = tokens.entropy.astype(np.float64)
    entropy[:first] = np.nan
    found = segments.entropy_by_segment(text, tokens.start, tokens.end, entropy)
    formatted = np.array([kind in ("code", "table", "formula") for kind in found.kind], bool)
    formatted[:first] = False
    gap = found.formatted_minus_prose
    beside = "" if np.isnan(gap) else f"; their mean entropy is {gap:+.2f} nats from that of prose"
    return Overlay(
        "segments",
        f"{int(formatted.sum())} tokens are code, tables or formulas{beside}.",
        found.source,
        found.known,
        (),
        formatted,
    )


def deep_thinking_overlay(found: DeepThinking) -> Overlay:
    """Deep-thinking tokens as an overlay.

    Parameters
    ----------
    found : DeepThinking
        From :func:`~.deep_thinking.deep_thinking`.
    """
    layer = np.where(found.layer > 0, found.layer, np.nan).astype(np.float64)
    return Overlay(
        "deep-thinking tokens",
        f"{len(found.positions)} tokens settle only from layer {found.first_late} of {found.n_layers} on.",
        found.source,
        found.known,
        (("settled at, nats", found.threshold), ("late after, share of layers", found.depth)),
        found.deep,
        layer,
        "settling layer",
    )
