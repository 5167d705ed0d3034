"""Curves over layers of one run or several, and the layer at which matrix entropy collapses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd

from analysis.results.collapse import CollapseLayer, collapse_of
from analysis.results.layers import SPECTRUM_FIELDS
from analysis.results.spectra import alpha_req, effective_rank, effective_rank_singular, renyi_entropy

if TYPE_CHECKING:
    from analysis.results.trace import Trace

Quantity = Literal[
    "matrix entropy", "rank, eigenvalues", "rank, singular values", "alpha-ReQ", "curvature", "lens entropy"
]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
Scale = Literal["raw", "per ln N", "per ln D"]
SCALES: tuple[Scale, ...] = get_args(Scale)
"""Matrix entropy in nats, or as a share of the logarithm of tokens or of width."""


def spectra_of(trace: Trace, kind: str = "states") -> np.ndarray:
    """Eigenvalue shares of one kind of states, float64, (2, layers, n).

    Raises
    ------
    ValueError
        If the run did not take them.
    """
    shares: np.ndarray | None = getattr(trace.layers, SPECTRUM_FIELDS[kind])
    if shares is None:
        why = trace.unavailable.get("spectra", "")
        raise ValueError(f'the run has no spectra of {kind}: trace(..., spectra=["{kind}"]). {why}')
    return shares


def layer_curve(
    trace: Trace,
    quantity: Quantity = "matrix entropy",
    *,
    kind: str = "states",
    order: float = 1.0,
    scale: Scale = "raw",
    first_token: bool = True,
) -> pd.DataFrame:
    """One quantity over the layers of a run.

    Parameters
    ----------
    trace : Trace
        A run with spectra.
    quantity : str
        Of :data:`QUANTITIES`.
    kind : {"states", "query", "key", "value"}
        States between the blocks (layers 0 to L), or what blocks 1 to L compare and mix.
    order : float
        Renyi order of the matrix entropy.
    scale : str
        Of :data:`SCALES`, for the matrix entropy.
    first_token : bool
        False leaves token 0 out, before centring.

    Returns
    -------
    pandas.DataFrame
        ``layer``, ``value`` (nats, directions, radians or none, by quantity), for alpha-ReQ
        ``r_squared`` too. NaN where a layer cannot carry the quantity.

    Raises
    ------
    ValueError
        If the run did not measure it, or the scale does not fit the states.
    """
    variant = 0 if first_token else 1
    if quantity == "lens entropy":
        return _lens_curve(trace, variant)
    if quantity == "curvature":
        if trace.layers.curvature is None or "states" not in trace.spec.spectra:
            raise ValueError("the run did not measure curvature")
        values = trace.layers.curvature[variant]
        return pd.DataFrame({"layer": np.arange(len(values)), "value": values})
    if scale == "per ln D" and kind != "states":
        raise ValueError("ln D is the measure of the token states; use per ln N")
    shares = spectra_of(trace, kind)[variant]
    layers = np.arange(len(shares)) + (kind != "states")
    if quantity == "alpha-ReQ":
        fits = [alpha_req(row) for row in shares]
        return pd.DataFrame(
            {
                "layer": layers,
                "value": [fit.alpha if fit else np.nan for fit in fits],
                "r_squared": [fit.r_squared if fit else np.nan for fit in fits],
            }
        )
    measures: dict[Quantity, Callable[[np.ndarray], np.ndarray]] = {
        "matrix entropy": lambda rows: renyi_entropy(rows, order) / _unit_of(trace, scale, variant),
        "rank, eigenvalues": effective_rank,
        "rank, singular values": effective_rank_singular,
    }
    return pd.DataFrame({"layer": layers, "value": measures[quantity](shares)})


def _unit_of(trace: Trace, scale: Scale, variant: int) -> float:
    """What a matrix entropy in nats is divided by."""
    if scale == "per ln N":
        return float(np.log(max(trace.spec.n_tokens - variant, 2)))
    if scale == "per ln D":
        width = trace.spec.hidden_size
        return float(np.log(width)) if width else float("nan")  # an older file does not say
    return 1.0


def _lens_curve(trace: Trace, variant: int) -> pd.DataFrame:
    layers = trace.layers
    if layers.lens_layers is None or layers.lens_entropy is None:
        raise ValueError("the lens was not asked for: trace(..., lens=True)")
    # Entry t speaks about token t, so entry 1 was said by token 0.
    values = layers.lens_entropy[:, 1 + variant :].astype(np.float64)
    means = values.mean(1) if values.shape[1] else np.full(len(values), np.nan)
    return pd.DataFrame({"layer": layers.lens_layers, "value": means})


def collapse_layer(
    traces: Mapping[str, Trace] | Sequence[Trace], *, kind: str = "states", first_token: bool = True
) -> CollapseLayer:
    """Find the layer at which matrix entropy drops sharply, and the same one for all texts.

    Parameters
    ----------
    traces : mapping of str to Trace, or sequence of Trace
        One or more runs of one model, each of at least 3 tokens.
    kind, first_token
        As for :func:`layer_curve`.

    Returns
    -------
    CollapseLayer
        With its evidence, also where there is no such layer.

    Raises
    ------
    ValueError
        Without runs, or if they are of models with different numbers of layers.

    Notes
    -----
    The rule is that of :func:`analysis.results.collapse.collapse_of`, of the matrix entropy of order 1.
    """
    named = (
        dict(traces) if isinstance(traces, Mapping) else {f"text {i + 1}": t for i, t in enumerate(traces)}
    )
    if not named:
        raise ValueError("collapse_layer needs at least one run")
    variant = 0 if first_token else 1
    entropies = [renyi_entropy(spectra_of(trace, kind)[variant]) for trace in named.values()]
    return collapse_of(dict(zip(named, entropies, strict=True)), into=1 if kind == "states" else 2)
