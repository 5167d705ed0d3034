"""What a method that prunes visual tokens is: it gets what a model made of an image, and marks exactly as many as asked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from analysis.errors import AnalysisError


@dataclass(frozen=True, eq=False)
class VisualView:
    """What is known about the n visual tokens of one image, newlines left out; all of it float32.

    Parameters
    ----------
    features : torch.Tensor
        (n, D): as the language model gets them.
    question : torch.Tensor, optional
        (D,): mean embedding of the question's tokens.
    states, keys : torch.Tensor, optional
        (n, D) and (n, K): at the layer from which on tokens go; keys of all heads side by side, after positions.
    text_states, text_keys : torch.Tensor, optional
        (m, D) and (m, K): of the text's tokens there.
    queries : torch.Tensor, optional
        (n, H, d): of the layer before, after positions.
    attention : torch.Tensor, optional
        (m, n): attention of the question's rows on the visual tokens in the layer before, mean over heads.
    text_features : torch.Tensor, optional
        (m, D): embeddings of the question's tokens.
    transitions : torch.Tensor, optional
        (n,): sum over sublayers of :func:`analysis.visual_tokens.measures.transition_scores`.
    sensitivity : torch.Tensor, optional
        (n,): of :func:`analysis.visual_tokens.policies.zoo.sensitivity`.
    """

    features: Tensor
    question: Tensor | None = None
    states: Tensor | None = None
    keys: Tensor | None = None
    text_states: Tensor | None = None
    text_keys: Tensor | None = None
    queries: Tensor | None = None
    attention: Tensor | None = None
    text_features: Tensor | None = None
    transitions: Tensor | None = None
    sensitivity: Tensor | None = None

    @property
    def n(self) -> int:
        """Visual tokens."""
        return len(self.features)


@dataclass(frozen=True)
class VisualPolicy:
    """A method that chooses visual tokens. Frozen: its fields are its constants."""

    name: ClassVar[str]
    """Short word, for calls and tables."""
    label: ClassVar[str]
    """As a person reads it."""
    source: ClassVar[str]
    """Where it is published, and where this one differs."""
    needs: ClassVar[tuple[str, ...]] = ("features",)
    """Parts of the view that it reads."""
    is_random: ClassVar[bool] = False
    """Whether every seed gives another choice."""

    def choose(self, view: VisualView, budget: int, seed: int) -> Tensor:
        """Mark the tokens that stay: (n,) of bool. Called with 0 < budget < n."""
        raise NotImplementedError

    def keep(self, view: VisualView, budget: int, seed: int = 0) -> Tensor:
        """Mark the tokens that stay.

        Parameters
        ----------
        view : VisualView
        budget : int
            How many stay, 0 to n.
        seed : int, default 0
            Of random methods.

        Returns
        -------
        torch.Tensor
            (n,) of bool, exactly ``budget`` of them set.

        Raises
        ------
        AnalysisError
            If the budget is impossible, or the view lacks a part that the method reads.
        """
        if not 0 <= budget <= view.n:
            raise AnalysisError(
                f"{budget} of {view.n} visual tokens cannot be kept.", f"Choose 0 to {view.n}."
            )
        absent = [
            part.name for part in fields(view) if part.name in self.needs and getattr(view, part.name) is None
        ]
        if absent:
            raise AnalysisError(
                f"{self.label} needs {', '.join(absent)}, which this model or this run does not give.",
                "Choose another method.",
            )
        if budget in (0, view.n):
            return torch.full((view.n,), budget > 0, device=view.features.device)
        kept = self.choose(view, budget, seed)
        assert int(kept.sum()) == budget
        return kept


def marked(indices: Tensor, n: int) -> Tensor:
    """(n,) of bool, set at these indices."""
    return torch.zeros(n, dtype=torch.bool, device=indices.device).index_fill_(0, indices, True)


def cosines(rows: Tensor) -> Tensor:
    """(n, n): cosine of every row with every other, in float64."""
    unit = normalize(rows.double(), dim=-1)
    return unit @ unit.T


def farthest(closeness: Tensor, chosen: list[int], budget: int) -> list[int]:
    """Go on choosing the token that is least close to all chosen ones; the first of several.

    Parameters
    ----------
    closeness : torch.Tensor
        (n, n).
    chosen : list of int
        At least one.
    budget : int
        How many there are in the end.
    """
    nearest = closeness[chosen].amax(0)
    chosen = list(chosen)
    nearest[chosen] = torch.inf
    while len(chosen) < budget:
        new = int(nearest.argmin())
        chosen.append(new)
        nearest = torch.maximum(nearest, closeness[new])
        nearest[new] = torch.inf
    return chosen
