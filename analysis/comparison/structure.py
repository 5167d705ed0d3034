"""What differs inside: where heads look, how long states are, how many directions they fill. Plain numpy, no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.results.attention import AttentionTrace
from analysis.results.spectra import renyi_entropy
from analysis.results.trace import Trace

if TYPE_CHECKING:
    from analysis.comparison.results import Alignment, Comparison


@dataclass(frozen=True, eq=False)
class LayerSide:
    """One side's layers and heads."""

    layer_numbers: np.ndarray
    """int32, (K,): layers with attention, by their number in the model."""
    sink: np.ndarray
    """float32, (K, H): sink mass less what uniform attention would give. The sink is each side's own first token."""
    row_entropy: np.ndarray
    """float32, (K, H), in [0, 1]: entropy of a row over the logarithm of the keys it sees, mean over aligned tokens."""
    received: np.ndarray
    """float32, (K, H, n): attention that the keys of the n pairs got."""
    norm: np.ndarray
    """float64, (L + 1,): median norm of the states of aligned tokens."""
    matrix_entropy: np.ndarray | None
    """float64, (2, L + 1), nats: of all of this side's tokens, and without its first; None without spectra."""


@dataclass(frozen=True, eq=False)
class Structure:
    """Layers and heads of both sides. Differences exist where both have the same shape."""

    a: LayerSide
    b: LayerSide
    same_shape: bool
    """Whether both have the same layers and heads; otherwise only depths from 0 to 1 can be laid over each other."""

    def change(self, name: str) -> np.ndarray:
        """B less A of a field of :class:`LayerSide`.

        Raises
        ------
        ValueError
            If the sides have other shapes, or one did not measure it.
        """
        one, other = getattr(self.a, name), getattr(self.b, name)
        if not self.same_shape or one is None or other is None:
            raise ValueError(f"{name} cannot be subtracted: other shapes, or not measured")
        found: np.ndarray = other - one
        return found


def structure_of(c: Comparison) -> Structure | None:
    """Layers and heads of both sides; None where one of them did not measure attention.

    Parameters
    ----------
    c : Comparison
        ``c.unavailable["structure"]`` says why there is none.
    """
    if why_no_structure(c.a, c.b):
        return None
    one, other = (_side_of(run, c.alignment, at) for at, run in enumerate((c.a, c.b)))
    same = one.sink.shape == other.sink.shape and len(one.norm) == len(other.norm)
    return Structure(one, other, bool(same and (one.layer_numbers == other.layer_numbers).all()))


def why_no_structure(a: Trace, b: Trace) -> str:
    """Why layers and heads cannot be compared, in a sentence; empty if they can."""
    missing = {name: run for name, run in (("A", a), ("B", b)) if run.attention is None}
    return " ".join(
        f"Side {name}: {run.unavailable.get('attention', 'its run has no attention.')}"
        for name, run in missing.items()
    )


def _side_of(run: Trace, alignment: Alignment, side: int) -> LayerSide:
    assert run.attention is not None
    attention, at = run.attention, alignment.pairs[:, side]
    spectrum = run.layers.spectrum
    return LayerSide(
        layer_numbers=attention.layer_numbers,
        sink=attention.sink_mass - attention.sink_baseline[:, None],
        row_entropy=_row_entropy(attention, at),
        received=attention.received[:, :, at],
        norm=np.median(run.layers.residual_norm[:, at].astype(np.float64), 1)
        if len(at)
        else np.full(len(run.layers.residual_norm), np.nan),
        matrix_entropy=None if spectrum is None else np.stack([renyi_entropy(part) for part in spectrum]),
    )


def _row_entropy(attention: AttentionTrace, at: np.ndarray) -> np.ndarray:
    """Mean over tokens that see two keys at least, (K, H); NaN without any."""
    most = np.log(attention.visible()[:, at])  # (K, n)
    rows = attention.entropy[:, :, at]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = rows / most[:, None, :]
    count = (most > 0).sum(1)
    total = np.where(most[:, None, :] > 0, shares, 0.0).sum(-1)
    with np.errstate(invalid="ignore"):
        return (total / count[:, None]).astype(np.float32)
