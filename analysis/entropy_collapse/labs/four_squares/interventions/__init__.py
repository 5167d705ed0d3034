"""Ways to keep entropy, one small class each, with published and with rescaled constants."""

from __future__ import annotations

from typing import Literal, get_args

from analysis.entropy_collapse.labs.four_squares.interventions.base import Intervention
from analysis.entropy_collapse.labs.four_squares.interventions.clipping import (
    ClipCov,
    ClipHigher,
    KLCov,
    Unchanged,
)
from analysis.entropy_collapse.labs.four_squares.interventions.entropy import EntropyBand, EntropyBonus, LpReg
from analysis.entropy_collapse.labs.four_squares.interventions.knobs import Hotter, Slower
from analysis.entropy_collapse.labs.four_squares.interventions.tokens import (
    FollowersOnly,
    ForkingOnly,
    MasteredMasking,
)
from analysis.entropy_collapse.labs.four_squares.interventions.weights import Hapo, Steer
from analysis.errors import AnalysisError

Scale = Literal["rescaled", "published"]
SCALES: tuple[Scale, ...] = get_args(Scale)

RESCALED: dict[str, Intervention] = {
    intervention.name: intervention
    for intervention in (
        Unchanged(),
        EntropyBonus(0.1),
        ClipHigher(0.5),
        ClipCov(0.05),
        KLCov(0.2, 1.0),
        ForkingOnly(),
        FollowersOnly(),
        EntropyBand(),
        LpReg(0.1, 0.02, 1.0),
        Steer(1.0, 0.0),
        Hapo(0.3, 0.5, 0.5),
        MasteredMasking(0.9, 1.0),
        Hotter(),
        Slower(),
    )
}
"""By name, with constants that fit batches of a few thousand tokens."""

PUBLISHED: dict[str, Intervention] = {
    intervention.name: intervention
    for intervention in (
        Unchanged(),
        EntropyBonus(),
        ClipHigher(),
        ClipCov(),
        KLCov(),
        ForkingOnly(),
        FollowersOnly(),
        LpReg(),
        Steer(),
        Hapo(),
        MasteredMasking(),
    )
}
"""By name, with the constants of the source; those without a published setting are missing."""


def intervention(name: str, scale: Scale = "rescaled") -> Intervention:
    """Intervention by name.

    Raises
    ------
    AnalysisError
        If there is none of that name, or no published constants for it.
    """
    if name not in RESCALED:
        raise AnalysisError(f"There is no intervention {name!r}.", f"Choose one of: {', '.join(RESCALED)}.")
    if scale not in SCALES:
        raise AnalysisError(f"There are no {scale!r} constants.", "Choose rescaled or published.")
    if scale == "published" and name not in PUBLISHED:
        raise AnalysisError(
            f"There are no published constants for {name}.", "Choose the rescaled ones for it."
        )
    return (RESCALED if scale == "rescaled" else PUBLISHED)[name]


__all__ = [
    "PUBLISHED",
    "RESCALED",
    "SCALES",
    "ClipCov",
    "ClipHigher",
    "EntropyBand",
    "EntropyBonus",
    "FollowersOnly",
    "ForkingOnly",
    "Hapo",
    "Hotter",
    "Intervention",
    "KLCov",
    "LpReg",
    "MasteredMasking",
    "Scale",
    "Slower",
    "Steer",
    "Unchanged",
    "intervention",
]
