"""How fast this device runs this model, in floating-point operations per second.

First guessed from a matrix product of the model's own shape, then corrected by every
finished run, so the time a screen promises follows what this machine really does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

_ROWS = 256
_BODY_SHARE = 0.6
"""Share of the product's speed that a whole forward reaches, until a run has told."""
_TRUST = 0.5
"""Weight of the newest run in the running estimate."""


@dataclass
class Speed:
    """Running estimate for one loaded model."""

    flops_per_second: float
    n_runs: int = 0
    """Finished runs that went into the estimate."""

    @classmethod
    @torch.inference_mode()
    def measure(cls, model: Any, device: torch.device) -> Speed:
        """Time a product of the model's width; takes some tens of milliseconds."""
        width = int(model.config.get_text_config().hidden_size)
        a = torch.ones(_ROWS, width, device=device, dtype=model.dtype)
        b = torch.ones(width, 4 * width, device=device, dtype=model.dtype)
        best = float("inf")
        for _ in range(4):
            start = time.perf_counter()
            a @ b
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - start)
        return cls(_BODY_SHARE * 2 * _ROWS * width * 4 * width / max(best, 1e-7))

    def learn(self, flops: float, seconds: float) -> None:
        """Take in what a finished run took."""
        measured = flops / max(seconds, 1e-6)
        trust = 1.0 if self.n_runs == 0 else _TRUST
        self.flops_per_second = (1 - trust) * self.flops_per_second + trust * measured
        self.n_runs += 1
