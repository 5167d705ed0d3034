"""A comparison as tables: one row per pair or span, heads, layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.results.tokens import TokenTrace, printable
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd

    from analysis.comparison.results import ComparedRows, Comparison
    from analysis.comparison.structure import Structure

INFORMATION = (
    "surprisal_a",
    "surprisal_b",
    "surprisal_change",
    "entropy_a",
    "entropy_b",
    "entropy_change",
    "kl_ab",
    "kl_ba",
    "jsd",
)
"""Columns that carry the unit in their name, in their order."""
_PLAIN = ("tv", "prob_change", "rank_a", "rank_b", "rank_of_a_in_b", "rank_of_b_in_a")


def frame_of(c: Comparison, unit: Unit = "nats") -> pd.DataFrame:
    """One row per pair, or per common span where distributions cannot be compared.

    Parameters
    ----------
    c : Comparison
        What is to be tabulated.
    unit : {"nats", "bits"}
        Unit of information, which the columns name.
    """
    return spans_frame(c, unit) if c.rows is None else _pairs_frame(c, c.rows, unit)


def _pairs_frame(c: Comparison, rows: ComparedRows, unit: Unit) -> pd.DataFrame:
    import pandas as pd

    at_a, at_b = c.alignment.pairs.T
    return pd.DataFrame(
        {
            "position_a": at_a,
            "position_b": at_b,
            "token": [printable(c.a.tokens.text[i]) for i in at_a],
            "token_id_a": c.a.tokens.token_id[at_a],
            "token_id_b": c.b.tokens.token_id[at_b],
            "is_special": c.a.tokens.is_special[at_a],
            "context_a": c.a.tokens.context[at_a],
            "context_b": c.b.tokens.context[at_b],
            **{f"{name}_{unit}": _in_unit(getattr(rows, name), unit) for name in INFORMATION},
            **{name: getattr(rows, name) for name in _PLAIN},
            "first_choice_a": first_choices(c.a.tokens, rows.top_ids_a),
            "first_choice_b": first_choices(c.b.tokens, rows.top_ids_b),
            "first_differs": rows.first_differs,
        }
    )


def spans_frame(c: Comparison, unit: Unit = "nats") -> pd.DataFrame:
    """One row per common span: sums over the sides' own tokens.

    Parameters
    ----------
    c, unit
        As for :func:`frame_of`.
    """
    import pandas as pd

    spans = c.spans
    return pd.DataFrame(
        {
            "span": np.arange(len(spans.n_bytes)),
            "text": [printable(text) for text in spans.text],
            "bytes": spans.n_bytes,
            "tokens_a": spans.n_tokens_a,
            "tokens_b": spans.n_tokens_b,
            **{
                f"{name}_{unit}": _in_unit(getattr(spans, name), unit)
                for name in ("surprisal_a", "surprisal_b", "surprisal_change", "entropy_a", "entropy_b")
            },
        }
    )


def heads_frame(structure: Structure) -> pd.DataFrame:
    """One row per layer and head of both sides; differences B less A where both have the same shape."""
    import pandas as pd

    names = ("sink", "row_entropy")
    if structure.same_shape:
        n_layers, n_heads = structure.a.sink.shape
        frame = {
            "layer": np.repeat(structure.a.layer_numbers, n_heads),
            "head": np.tile(np.arange(n_heads), n_layers),
        }
        for name in names:
            frame[f"{name}_a"], frame[f"{name}_b"] = (
                getattr(side, name).ravel() for side in (structure.a, structure.b)
            )
            frame[f"{name}_change"] = structure.change(name).ravel()
        return pd.DataFrame(frame)
    parts = []
    for label, side in (("A", structure.a), ("B", structure.b)):
        n_layers, n_heads = side.sink.shape
        parts.append(
            pd.DataFrame(
                {
                    "side": label,
                    "layer": np.repeat(side.layer_numbers, n_heads),
                    "head": np.tile(np.arange(n_heads), n_layers),
                    **{name: getattr(side, name).ravel() for name in names},
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def layers_frame(structure: Structure, unit: Unit = "nats") -> pd.DataFrame:
    """One row per side and layer, from what enters the first block on: state norms and matrix entropy.

    Parameters
    ----------
    structure : Structure
        Of a comparison.
    unit : {"nats", "bits"}
        Of the matrix entropy.
    """
    import pandas as pd

    parts = []
    for label, side in (("A", structure.a), ("B", structure.b)):
        n = len(side.norm)
        entropy = np.full((2, n), np.nan) if side.matrix_entropy is None else side.matrix_entropy
        parts.append(
            pd.DataFrame(
                {
                    "side": label,
                    "layer": np.arange(n),
                    "depth": np.arange(n) / max(1, n - 1),
                    "median_norm": side.norm,
                    f"matrix_entropy_{unit}": from_nats(entropy[0], unit),
                    f"matrix_entropy_without_first_{unit}": from_nats(entropy[1], unit),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def first_choices(tokens: TokenTrace, top_ids: np.ndarray) -> list[str]:
    """Names of the first tokens of top lists (n, k); empty without context."""
    return [printable(tokens.names.get(int(i), f"‹{i}›")) if i >= 0 else "" for i in top_ids[:, 0]]


def _in_unit(values: np.ndarray, unit: Unit) -> np.ndarray:
    found: np.ndarray = from_nats(values.astype(np.float64), unit)
    return found
