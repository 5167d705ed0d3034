"""Whether a logged entropy is a mean over tokens or a sum over each answer: what can be known, and what not."""

from __future__ import annotations

import numpy as np

from analysis.entropy_collapse.training.logs.keys import Rule
from analysis.entropy_collapse.training.results import LARGEST_PER_TOKEN, Meaning

_MODES: dict[str, Meaning] = {
    "token-mean": "per token",
    "seq-mean-token-mean": "per token",
    "seq-mean-token-sum": "per sequence",
    "seq-mean-token-sum-norm": "not known",
}
"""verl's ``loss_agg_mode``, and what the entropy is under it."""


def meaning_of(
    entropy: np.ndarray, key: str, rule: Rule, loss_agg_mode: str = ""
) -> tuple[Meaning, str, list[str]]:
    """What a column of entropies is.

    Parameters
    ----------
    entropy : numpy.ndarray, shape (n,)
        As logged, in nats.
    key : str
        The log's key.
    rule : Rule
        What is known of the key.
    loss_agg_mode : str
        verl's setting, if the log says it.

    Returns
    -------
    Meaning
        A value over the entropy of an even choice among all tokens of the largest vocabulary
        is no mean over tokens: then it is a sum per sequence, whatever the key promises.
    str
        What the meaning rests on where the log does not say it, else "".
    list of str
        What a reader should know.
    """
    notes = [rule.note] if rule.note else []
    meaning, assumed = rule.meaning, ""
    if rule.by_loss_agg_mode and loss_agg_mode in _MODES:
        meaning = _MODES[loss_agg_mode]
        notes.append(f"The log says loss_agg_mode {loss_agg_mode}: {key} is {_words(meaning)}.")
    lowest = float(np.nanmin(entropy, initial=np.inf, where=np.isfinite(entropy)))
    if lowest < 0:
        notes.append(
            f"{key} falls to {lowest:.3g}. No entropy over tokens is negative: it may be a loss, with its sign turned."
        )
    highest = float(np.nanmax(entropy, initial=-np.inf, where=np.isfinite(entropy)))
    if meaning in ("per token", "estimator") and highest > LARGEST_PER_TOKEN:
        notes.append(
            f"{key} reaches {highest:.4g} nats. A mean over tokens cannot exceed ln V, about "
            f"{LARGEST_PER_TOKEN:.3g} for the largest vocabularies: it is taken as a sum per sequence."
        )
        return "per sequence", "", notes
    if meaning == "not known" and highest > LARGEST_PER_TOKEN:
        notes.append(f"{key} reaches {highest:.4g}: that is no mean over tokens in nats.")
    if rule.by_loss_agg_mode and loss_agg_mode not in _MODES:
        assumed = "aggregation unknown"
        notes.append(
            f"Aggregation unknown: verl takes {key} as its loss_agg_mode says, by default the mean over tokens, and "
            "this log does not say which. No value is too large for a mean, which does not prove one: a sum over "
            "short or nearly certain answers is small too."
        )
    return meaning, assumed, notes


def _words(meaning: Meaning) -> str:
    kinds = {"per token": "a mean over tokens", "per sequence": "a sum over each answer"}
    return kinds.get(meaning, "neither a mean over tokens nor a sum over each answer")
