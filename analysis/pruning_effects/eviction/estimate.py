"""How long a sweep will take, from the speed of a run of the same text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.results.trace import Trace

_PACE_ONCE, _PACE_STEPWISE = 0.6, 1.8
"""Time of a token under one setting against a token of the run, as seen on a CPU."""


def context_tokens(run: Trace, context: str) -> int:
    """Tokens of a context that a run's text begins with, as the run cut them; an added one counts."""
    return int((run.tokens.start < len(context)).sum())


def sweep_seconds(run: Trace, context: str, after: int, n_settings: int, *, stepwise: bool = False) -> float:
    """Seconds that a sweep will take, about.

    Parameters
    ----------
    run : Trace
        A run of the same model on the same machine.
    context : str
        What its text begins with.
    after : int
        Characters of the continuation and the answer.
    n_settings : int
        Settings of the sweep, the full cache counted.
    stepwise : bool, default False
        Whether the cache is pruned step by step.
    """
    n = len(run.tokens)
    per_token = (run.seconds["body"] + run.seconds["head"]) / n
    n_after = after / max(len(run.text), 1) * n
    pace = _PACE_STEPWISE if stepwise else _PACE_ONCE
    return per_token * (context_tokens(run, context) + pace * n_settings * n_after)
