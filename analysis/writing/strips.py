"""The written tokens of one branch, coloured by the entropy before each; what was read before them is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.drawing.strip import Strip
from analysis.results.tokens import TokenTrace
from analysis.token_entropy.strips import entropy_strip, marked_tokens
from analysis.units import Unit, from_nats

HIGHEST = 7.0
"""Entropy of the ramp's last colour, nats: the same for all branches, and while they grow."""


def written_tokens(tokens: TokenTrace, n_prompt: int) -> TokenTrace:
    """The tokens of a path behind its prompt; the first of them is token 0."""
    cells = tokens.cell[n_prompt:]
    first = int(cells[0]) if len(cells) else 0
    per_token = {
        name: value[n_prompt:]
        for name, value in vars(tokens).items()
        if hasattr(value, "shape") and len(value) == len(tokens)
    }
    per_token["cell"] = cells - first
    return replace(
        tokens,
        **per_token,
        text=tokens.text[n_prompt:],
        cell_text=tokens.cell_text[first:] if len(cells) else (),
    )


def least_sure(tokens: TokenTrace) -> int:
    """Place of the written token before which entropy was highest: where going elsewhere says most."""
    return int(np.nanargmax(tokens.entropy))


def written_strip(tokens: TokenTrace, *, unit: Unit = "nats") -> Strip:
    """Data of the strip of what was written, its forking tokens marked.

    Parameters
    ----------
    tokens : TokenTrace
        Written tokens, see :func:`written_tokens`.
    unit : {"nats", "bits"}
        Unit of information.
    """
    marked, name = marked_tokens(tokens.entropy)
    strip = entropy_strip(tokens, unit=unit, vocab_size=0, marked=marked, marked_name=name)
    return replace(strip, low=0.0, high=float(from_nats(HIGHEST, unit)))
