"""Names, settings and orders of the samplers: what a chain may be made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.writing.results import Samplers

LARGEST_SEED = 2**64 - 1


@dataclass(frozen=True)
class SamplerInfo:
    """What a screen needs to offer one sampler."""

    name: str
    label: str
    default: float
    least: float
    """Smallest setting that is allowed."""
    most: float
    """Largest one."""
    help: str
    whole: bool = False
    """Whether only whole numbers are allowed."""


SAMPLERS: dict[str, SamplerInfo] = {
    info.name: info
    for info in (
        SamplerInfo(
            "repetition-penalty",
            "Repetition penalty",
            1.1,
            1e-3,
            1e3,
            "Divides the score of every token that is already in the text, multiplies it where it is negative.",
        ),
        SamplerInfo(
            "temperature",
            "Temperature",
            0.8,
            0.0,
            1e9,
            "Divides all scores: below 1 sharper, above 1 flatter. 0 takes the most probable token.",
        ),
        SamplerInfo(
            "top-h",
            "Top-H (transformers)",
            0.4,
            1e-6,
            1.0,
            "Partial sums of -p ln p over the hundred most probable tokens.",
        ),
        SamplerInfo(
            "top-h-paper",
            "Top-H (paper)",
            0.4,
            1e-6,
            1.0,
            "Tokens whose own entropy is at most this share of that of the whole distribution.",
        ),
        SamplerInfo(
            "top-k",
            "Top-k",
            50,
            1,
            1e7,
            "The k most probable tokens, and those that equal the last of them.",
            whole=True,
        ),
        SamplerInfo(
            "top-p", "Top-p", 0.9, 1e-6, 1.0, "The fewest most probable tokens that hold this probability."
        ),
        SamplerInfo(
            "min-p",
            "Min-p",
            0.05,
            0.0,
            1.0,
            "Tokens at least this probable, as a share of the most probable one.",
        ),
        SamplerInfo(
            "typical",
            "Locally typical",
            0.9,
            1e-6,
            1.0,
            "Tokens whose surprisal is closest to the entropy, up to this probability.",
        ),
        SamplerInfo("epsilon", "Epsilon", 3e-4, 1e-9, 0.999, "Tokens at least this probable."),
        SamplerInfo(
            "eta",
            "Eta",
            3e-4,
            1e-9,
            0.999,
            "Tokens at least as probable as a limit that falls with the entropy.",
        ),
    )
}
"""All samplers by name, in the order in which transformers applies them."""

ORDERS: dict[str, tuple[str, ...]] = {
    "transformers": tuple(SAMPLERS),
    "llama.cpp": (
        "repetition-penalty",
        "top-k",
        "typical",
        "top-p",
        "min-p",
        "top-h",
        "top-h-paper",
        "epsilon",
        "eta",
        "temperature",
    ),
}
"""Which sampler comes before which. llama.cpp has no Top-H, epsilon and eta; they stand before its temperature."""


def parse_samplers(steps: Samplers | Iterable[tuple[str, Any]], seed: int = 0) -> Samplers:
    """Check names, settings and seed.

    Parameters
    ----------
    steps : iterable of (str, float), or Samplers
        In the order in which they are applied; none means greedy.
    seed : int
        From 0 to 2^64 - 1; of a ``Samplers`` its own stays.

    Raises
    ------
    AnalysisError
        If a name is unknown, a setting is not a number or not allowed, or the seed is not.
    """
    if isinstance(steps, Samplers):
        return parse_samplers(steps.steps, steps.seed)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= LARGEST_SEED:
        raise AnalysisError(
            f"A seed must be a whole number from 0 to 2^64 - 1, not {seed!r}.", "Take a small one, such as 0."
        )
    return Samplers(tuple(_checked(step) for step in steps), int(seed))


def _checked(step: Any) -> tuple[str, float]:
    try:
        name, setting = step
        value = float(setting)
    except (TypeError, ValueError):
        raise AnalysisError(
            f"A sampler must be a name with a number, not {step!r}.", 'Write it as ("temperature", 0.8).'
        ) from None
    info = SAMPLERS.get(name) if isinstance(name, str) else None
    if info is None:
        raise AnalysisError(f"There is no sampler {name!r}.", f"Choose from {', '.join(SAMPLERS)}.")
    if not info.least <= value <= info.most or (info.whole and value != int(value)):
        kind = "a whole number" if info.whole else "a number"
        raise AnalysisError(
            f"{info.label} must be {kind} from {info.least:g} to {info.most:g}, not {value:g}.",
            f"Its default is {info.default:g}.",
        )
    return info.name, value


def in_order(
    steps: Iterable[tuple[str, float]], order: str = "transformers"
) -> tuple[tuple[str, float], ...]:
    """The same samplers in the order of a library, a key of ``ORDERS``."""
    names = ORDERS[order]
    return tuple(sorted(steps, key=lambda step: names.index(step[0])))
