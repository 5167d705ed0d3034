"""Whether the parts of a stored run belong together.

A trace file may come from anywhere. What passes here has the kinds, shapes and ranges
that every figure and table relies on; numpy only, no model.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Any

import numpy as np

from analysis.results.layers import SPECTRUM_FIELDS
from analysis.results.token_quantities import stored_quantities
from analysis.results.trace import Trace

_TOKEN_ARRAYS = {
    **dict.fromkeys(("token_id",), np.int64),
    **dict.fromkeys(("start", "end", "n_bytes", "cell", "context"), np.int32),
    "is_special": np.bool_,
}
_SLACK = 0.01
"""Rounding allowed beyond the range of a measured quantity."""
_SPEC_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("model", "source", "revision", "dtype", "device", "text_sha256", "bos", "visibility", "ids_sha256"),
        (str,),
    ),
    **dict.fromkeys(("rounded", "eviction"), (str,)),
    **dict.fromkeys(("n_tokens", "vocab_size", "n_layers", "hidden_size", "top_k", "n_before"), (int,)),
    **dict.fromkeys(("window", "stride"), (int, type(None))),
    "strength": (float, int),
    "parse_special": (bool,),
}


def require(holds: bool | np.bool_, what: str) -> None:
    """Raise ValueError with ``what`` unless it holds."""
    if not holds:
        raise ValueError(what)


def check_trace(trace: Trace) -> None:
    """Refuse a run whose parts do not belong together.

    Raises
    ------
    ValueError
        Naming what does not fit. Other exceptions are possible for values of a wrong
        kind; a caller that reads untrusted files catches those too.
    """
    _check_plain(trace)
    _check_tokens(trace)
    _check_layers(trace)
    _check_spectra(trace)
    _check_attention(trace)
    spec = trace.spec
    _check_array(trace.next.top_ids, np.int64, (spec.top_k,), "next.top_ids")
    _check_array(trace.next.top_logprobs, np.float32, (spec.top_k,), "next.top_logprobs")
    if trace.final_states is not None:
        require(trace.final_states.ndim == 2, "final_states")
        _check_array(trace.final_states, np.float32, (spec.n_tokens, trace.final_states.shape[1]), "final")


def _check_array(array: Any, dtype: Any, shape: tuple[int, ...], name: str) -> None:
    right = isinstance(array, np.ndarray) and array.dtype == dtype and array.shape == shape
    require(right, f"{name} is not {np.dtype(dtype)} of shape {shape}")


def _check_plain(trace: Trace) -> None:
    """Values that came as JSON: kinds, and the text the run was made of."""
    for name, kinds in _SPEC_TYPES.items():
        value = getattr(trace.spec, name)
        require(isinstance(value, kinds) and isinstance(value, bool) == (kinds == (bool,)), f"spec.{name}")
    require(all(type(layer) is int for layer in trace.spec.lens_layers), "spec.lens_layers")
    require(isinstance(trace.text, str), "text")
    require(hashlib.sha256(trace.text.encode()).hexdigest() == trace.spec.text_sha256, "another text")
    ids = hashlib.sha256(trace.tokens.token_id.astype("<i8").tobytes()).hexdigest()
    require(trace.spec.ids_sha256 in ("", ids), "other tokens")
    for check in trace.checks:
        require(isinstance(check.name, str) and isinstance(check.unit, str), "a check")
        require(all(isinstance(v, (int, float)) for v in (check.error, check.tolerance)), "a check")
    require(isinstance(trace.seconds, dict) and isinstance(trace.versions, dict), "seconds or versions")
    require(all(isinstance(v, (int, float)) for v in trace.seconds.values()), "seconds")
    require(all(isinstance(v, str) for v in trace.versions.values()), "versions")
    require(isinstance(trace.unavailable, dict), "unavailable")
    require(all(isinstance(v, str) for v in trace.unavailable.values()), "unavailable")
    numbers = [getattr(trace.next, f.name) for f in fields(trace.next) if f.type == "float"]
    require(all(isinstance(number, float) for number in numbers), "next")


def _check_tokens(trace: Trace) -> None:
    n, tokens = trace.spec.n_tokens, trace.tokens
    for name, dtype in _TOKEN_ARRAYS.items():
        _check_array(getattr(tokens, name), dtype, (n,), name)
    for quantity in stored_quantities():
        if quantity.since == 1 or quantity.values(tokens) is not None:
            _check_array(quantity.values(tokens), quantity.stored, (n,), quantity.name)
    _check_array(tokens.top_ids, np.int64, (n, trace.spec.top_k), "top_ids")
    _check_array(tokens.top_logprobs, np.float32, (n, trace.spec.top_k), "top_logprobs")
    require(len(tokens.text) == n and all(isinstance(t, str) for t in tokens.text), "text of tokens")
    require(all(isinstance(t, str) for t in tokens.cell_text), "text of cells")
    require(tokens.cell[0] == 0 and bool(np.isin(np.diff(tokens.cell), (0, 1)).all()), "cells")
    require(len(tokens.cell_text) == int(tokens.cell[-1]) + 1, "cells")
    outside = tokens.start == -1
    require(bool((outside == (tokens.end == -1)).all()), "spans")
    require(bool((tokens.start >= -1).all() and (tokens.end >= tokens.start).all()), "spans")
    require(bool((tokens.end <= len(trace.text)).all()), "spans")
    require(bool(((tokens.rank >= 0) & (tokens.n_bytes >= 0) & (tokens.context >= 0)).all()), "counts")
    require(bool((tokens.token_id >= 0).all() and (tokens.top_ids >= -1).all()), "ids")
    require(bool((trace.next.top_ids >= 0).all()), "ids of the next token")
    ids = [tokens.token_id, tokens.top_ids.ravel(), trace.next.top_ids]
    if trace.layers.lens_top_ids is not None:
        ids.append(trace.layers.lens_top_ids.ravel())
    named = {int(i) for i in np.unique(np.concatenate(ids)) if i >= 0}
    require(named <= set(tokens.names), "names of tokens are missing")


def _check_layers(trace: Trace) -> None:
    spec, layers = trace.spec, trace.layers
    _check_array(layers.residual_norm, np.float32, (spec.n_layers + 1, spec.n_tokens), "residual_norm")
    lens = (layers.lens_layers, layers.lens_entropy, layers.lens_kl, layers.lens_top_ids)
    if not spec.lens_layers:
        require(all(part is None for part in (*lens, layers.lens_rank)), "a lens nobody asked for")
        return
    shape = (len(spec.lens_layers), spec.n_tokens)
    _check_array(layers.lens_layers, np.int32, shape[:1], "lens_layers")
    _check_array(layers.lens_entropy, np.float32, shape, "lens_entropy")
    _check_array(layers.lens_kl, np.float32, shape, "lens_kl")
    _check_array(layers.lens_top_ids, np.int64, shape, "lens_top_ids")
    if layers.lens_rank is not None:  # not in files before format 3
        _check_array(layers.lens_rank, np.int32, shape, "lens_rank")
        require(bool((layers.lens_rank >= 0).all()), "lens_rank")
    rising = sorted(set(spec.lens_layers))
    require(list(spec.lens_layers) == rising == lens[0].tolist(), "lens layers")  # type: ignore[union-attr]
    require(rising[0] >= 0 and rising[-1] == spec.n_layers, "lens layers")


def _check_spectra(trace: Trace) -> None:
    spec, layers = trace.spec, trace.layers
    require(set(spec.spectra) <= set(SPECTRUM_FIELDS), "spec.spectra")
    for kind, name in SPECTRUM_FIELDS.items():
        shares = getattr(layers, name)
        require((shares is not None) == (kind in spec.spectra), f"{name} against spec.spectra")
        if shares is None:
            continue
        n_layers = spec.n_layers + 1 if kind == "states" else _n_attention(trace)
        require(shares.ndim == 3 and 0 < shares.shape[2] <= spec.n_tokens, name)
        _check_array(shares, np.float64, (2, n_layers, shares.shape[2]), name)
        require(not bool(((shares < 0) | (shares > 1 + _SLACK)).any()), name)
        require(not bool((np.abs(shares.sum(-1) - 1) > _SLACK).any()), f"sum of {name}")
    require((layers.curvature is not None) == bool(spec.spectra), "curvature")
    if layers.curvature is not None:
        _check_array(layers.curvature, np.float64, (2, spec.n_layers + 1), "curvature")


def _n_attention(trace: Trace) -> int:
    """Layers that have attention, as far as the run says."""
    return trace.spec.n_layers if trace.attention is None else trace.attention.n_layers


def _check_attention(trace: Trace) -> None:
    attention, spec = trace.attention, trace.spec
    if attention is None:
        return
    require(attention.entropy.ndim == 3 and attention.value_norm.ndim == 3, "attention")
    n_heads, n_groups = attention.entropy.shape[1], attention.value_norm.shape[1]
    require(n_groups > 0 and n_heads % n_groups == 0, "heads of attention")
    numbers = attention.layer_numbers
    _check_array(numbers, np.int32, (attention.n_layers,), "attention.layer_numbers")
    require(bool((np.diff(numbers) > 0).all()), "attention.layer_numbers")
    require(len(numbers) > 0 and numbers[0] >= 0 and numbers[-1] < spec.n_layers, "attention.layer_numbers")
    rows, groups = (len(numbers), n_heads, spec.n_tokens), (len(numbers), n_groups, spec.n_tokens)
    shapes = {"entropy": rows, "received": rows, "sink_mass": rows[:2], "distance": rows[:2]}
    shapes |= {"value_norm": groups, "key_norm": groups, "sink_baseline": rows[:1]}
    for name, shape in shapes.items():
        _check_array(getattr(attention, name), np.float32, shape, f"attention.{name}")
    for name in ("window", "chunk"):
        _check_array(getattr(attention, name), np.int32, rows[:1], f"attention.{name}")
        require(bool((getattr(attention, name) >= 0).all()), f"attention.{name}")
    if attention.gate is not None:
        _check_array(attention.gate, np.float32, rows[:2], "attention.gate")
    if attention.learned_sink is not None:
        _check_array(attention.learned_sink, np.float32, rows[:2], "attention.learned_sink")
    most = dict.fromkeys(("received", "sink_mass", "sink_baseline", "learned_sink"), 1.0)
    most |= {"entropy": float(np.log(spec.n_tokens)), "distance": float(spec.n_tokens)}
    for name, highest in most.items():
        array = getattr(attention, name)
        # a model that overflows gives NaN, which every figure shows as missing
        outside = array is not None and bool(((array < -_SLACK) | (array > highest + _SLACK)).any())
        require(not outside, f"attention.{name}")
