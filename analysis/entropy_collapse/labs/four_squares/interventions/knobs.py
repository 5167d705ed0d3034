"""Interventions that only turn a knob of the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from analysis.entropy_collapse.labs.four_squares.interventions.base import Intervention


@dataclass(frozen=True)
class Hotter(Intervention):
    """Sampling and training at another temperature: logits are divided by ``value`` throughout.

    A plain knob, so there is no published constant for it. Entropy and reward of such a run
    are those of the policy at its own temperature.
    """

    name = "temperature"
    source = "a knob"
    says = "Samples and trains at a higher temperature."
    limits: ClassVar = {"value": (0.1, 10.0)}
    value: float = 1.3

    @property
    def temperature(self) -> float:
        """Its own temperature."""
        return self.value


@dataclass(frozen=True)
class Slower(Intervention):
    """Another learning rate of Adam, ``value``, with everything else as it is.

    A plain knob, so there is no published constant for it. Rescaled: a third of the usual.
    """

    name = "learning rate"
    source = "a knob"
    says = "Takes smaller steps: less is lost because less is learnt."
    limits: ClassVar = {"value": (1e-8, 1.0)}
    value: float = 1e-4

    @property
    def learning_rate(self) -> float:
        """Its own learning rate."""
        return self.value
