"""How fast this machine runs this model: floating-point operations per second, for every kind of work.

First guessed from a small matrix product, then learnt from finished runs. A run on a machine that others use as
well takes longer than it needs; what it needed is bounded by the CPU time it got, and the median of the last runs
is kept, so that one slow run does not spoil the estimates after it.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, get_args

import torch

Part = Literal["body", "attention", "spectra", "head"]
PARTS: tuple[Part, ...] = get_args(Part)
"""Kinds of work: linear layers, measured attention, spectra of the layers, distributions (the lens too)."""

_PRODUCT = 512
"""Rows and columns of the product that is timed."""
_REACHED: dict[Part, float] = {"body": 0.8, "attention": 0.7, "spectra": 0.9, "head": 0.6}
"""Share of that product's speed that each kind of work reaches, until a run has told."""
_REMEMBERED = 5
"""Runs whose median counts."""
_SLACK = 1.25
"""Seconds that a run may take on an idle machine, as a multiple of its CPU seconds by thread."""


@dataclass
class Speed:
    """What one loaded model has shown so far."""

    product: float
    """Operations per second of a small matrix product."""
    n_runs: int = 0
    """Finished runs that were learnt from."""
    _seen: dict[Part, deque[float]] = field(default_factory=dict, repr=False)

    @classmethod
    def measure(cls, device: torch.device, dtype: torch.dtype) -> Speed:
        """Begin with the speed of a small product, which is timed once in a process."""
        return cls(_product_speed(device, dtype))

    def of(self, part: Part) -> float:
        """Operations per second of a kind of work.

        A kind that no run has shown is guessed: it is as far from its share of the product's speed as those are
        that were shown.
        """
        if part in self._seen:
            return median(self._seen[part])
        shown = [median(rates) / (_REACHED[other] * self.product) for other, rates in self._seen.items()]
        return _REACHED[part] * self.product * (median(shown) if shown else 1.0)

    def seconds(self, work: Mapping[Part, float]) -> float:
        """Seconds that so many operations of each kind take on an idle machine."""
        return sum(flops / self.of(part) for part, flops in work.items() if flops)

    def learn(self, work: Mapping[Part, float], seconds: Mapping[Part, float]) -> None:
        """Take in how long each kind of work took in a finished run; what took no time is passed over."""
        for part, flops in work.items():
            if flops > 0 and seconds.get(part, 0.0) > 0:
                self._seen.setdefault(part, deque(maxlen=_REMEMBERED)).append(flops / seconds[part])
        self.n_runs += 1


def needed_seconds(wall: float, cpu: float, device: torch.device) -> float:
    """Seconds that work would have taken on an idle machine.

    Parameters
    ----------
    wall, cpu : float
        Seconds it took, and CPU seconds the process got meanwhile.
    device : torch.device
        On CUDA the CPU says nothing, and the time taken counts.
    """
    if device.type == "cuda":
        return wall
    return min(wall, _SLACK * cpu / torch.get_num_threads())


def needed_by_part(
    wall: Mapping[str, float],
    cpu: Mapping[str, float],
    attention: float,
    spectra: float,
    device: torch.device,
) -> dict[Part, float]:
    """Seconds that each kind of work of a run would have taken on an idle machine.

    Parameters
    ----------
    wall, cpu : mapping
        Seconds and CPU seconds of "body", "head" and "lens".
    attention : float
        Seconds of the body's that went into measured attention.
    spectra : float
        CPU seconds of the threads that take spectra while the body runs: they count by their share of its CPU
        seconds, and attention by its share of the time that is left.
    device : torch.device
        Of the model.
    """
    body, head, lens = (needed_seconds(wall[part], cpu[part], device) for part in ("body", "head", "lens"))
    beside = body * min(1.0, spectra / max(cpu["body"], 1e-9))
    attended = (body - beside) * min(1.0, attention / max(wall["body"], 1e-9))
    return {"body": body - beside - attended, "attention": attended, "spectra": beside, "head": head + lens}


@functools.cache
@torch.inference_mode()
def _product_speed(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a product of two square matrices, the best of some that take 50 ms together."""
    square = torch.ones(_PRODUCT, _PRODUCT, device=device, dtype=dtype)
    best, end = float("inf"), time.perf_counter() + 0.05
    for _ in range(8):
        start, cpu = time.perf_counter(), time.process_time()
        square @ square
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        best = min(best, needed_seconds(wall, cpu, device))
        if time.perf_counter() > end:
            break
    return 2 * _PRODUCT**3 / max(best, 1e-7)
