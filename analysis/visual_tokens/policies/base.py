"""What a method of visual token pruning is: from measured parts and a number to tokens that stay."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.ties import keep_top
from analysis.visual_tokens.policies.view import WHY_MISSING

if TYPE_CHECKING:
    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True, eq=False)
class Stage:
    """What is left of the visual tokens from one layer on.

    Parameters
    ----------
    layer : int
        First layer of the language model that sees only these; 0: before the language model.
    kept : torch.Tensor
        (n,) of int64, rising: tokens that stay, or that stand for the patches merged into them.
    mix : torch.Tensor, optional
        (n, N), float32: weights of all tokens in each that is left; None where each is left as it was.
    centred : bool, default False
        Whether each that is left stands at the mean place of what was merged into it, not at that of ``kept``.
    """

    layer: int
    kept: Tensor
    mix: Tensor | None = None
    centred: bool = False

    def mixed(self, features: Tensor) -> Tensor:
        """Features (n, D) of what is left, from those of all tokens, (N, D)."""
        return features[self.kept] if self.mix is None else self.mix.to(features.dtype) @ features

    def mean_of(self, values: Tensor) -> Tensor:
        """Weighted mean of a value of each token, (N,), over what was merged into each that is left, (n,).

        Of the tokens' numbers it is their place in the text, of their rows and columns that on the picture.
        """
        values = values.float()
        if self.mix is None:
            return values[self.kept]
        return self.mix @ values / self.mix.sum(1)


@dataclass(frozen=True, eq=False)
class Choice:
    """What a method leaves, stage after stage; each stage is a part of the one before.

    Parameters
    ----------
    n : int
        Tokens there were, N.
    stages : tuple of Stage
        By rising layer, at least one.
    """

    n: int
    stages: tuple[Stage, ...]

    @property
    def kept(self) -> Tensor:
        """Tokens left after the last stage, (n,) of int64, rising."""
        return self.stages[-1].kept

    @property
    def layer(self) -> int:
        """First layer of the language model after the last stage."""
        return self.stages[-1].layer

    @property
    def goes_into(self) -> Tensor:
        """Where each token is found after the last stage, (N,) of int64: in itself, in what it merged into, or -1."""
        found = torch.full((self.n,), -1)
        last = self.stages[-1]
        if last.mix is not None and len(last.kept):
            weight, row = last.mix.max(0)
            found = torch.where(weight > 0, last.kept[row], found)
        found[last.kept] = last.kept
        return found


@dataclass(frozen=True)
class VisualPolicy:
    """A method: its fields are its constants, as published.

    A subclass gives the class variables and :meth:`stages`.
    """

    name: ClassVar[str]
    """Short word, for calls, tables and links."""
    label: ClassVar[str]
    """As a person reads it."""
    source: ClassVar[str]
    """Where it is published."""
    formula: ClassVar[str]
    """What is computed, in one line."""
    deviations: ClassVar[str] = ""
    """In what this differs from what is published; empty if in nothing."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Parts of the view that it reads besides features and places."""
    is_random: ClassVar[bool] = False
    """Whether every seed gives another choice."""
    fewest: ClassVar[int] = 1
    """Tokens that are left at least."""
    merges: ClassVar[bool] = False
    """Whether what goes is mixed into what stays."""

    @property
    def defaults(self) -> dict[str, object]:
        """Its constants by name."""
        return asdict(self)

    def layers_read(self, n_layers: int) -> tuple[int, ...]:
        """Layers of the language model of which it reads parts, rising or equal."""
        return ()

    def unsupported(self, view: VisualView) -> str:
        """Why the model that was measured cannot run this method; empty if it can."""
        for name in self.needs:
            if not view.has(name):
                return WHY_MISSING[name]
        layers = self.layers_read(view.n_layers)
        if layers and layers[-1] >= view.n_layers:
            return f"It works in layer {layers[-1]}, and this model has {view.n_layers}."
        return ""

    def ranking(self, view: VisualView) -> Tensor | None:
        """The one score per token, (N,), by which it keeps or merges; None where it has no such."""
        return None

    def refuses(self, view: VisualView, kept: int) -> str:
        """Why this number of tokens cannot be kept by this method; empty if it can."""
        return ""

    def choose(self, view: VisualView, kept: int) -> Choice:
        """Choose exactly so many tokens.

        Parameters
        ----------
        view : VisualView
        kept : int
            Tokens left after the last stage, :attr:`fewest` to N. Merged ones count.

        Raises
        ------
        AnalysisError
            If the model has not what the method needs, or this number cannot be kept.
        """
        reason = self.unsupported(view)
        if reason:
            raise AnalysisError(f"{self.label} cannot run here. {reason}", "Choose another method.")
        n = len(view)
        if not self.fewest <= kept <= n:
            raise AnalysisError(
                f"Of {n} visual tokens, {kept} cannot be kept.", f"Choose a number from {self.fewest} to {n}."
            )
        reason = self.refuses(view, kept)
        if reason:
            raise AnalysisError(
                f"{self.label} cannot keep {kept} of {n} tokens. {reason}", "Choose another number."
            )
        stages = self.stages(view, kept)
        assert len(stages[-1].kept) == kept
        # where several published cuts fall on one layer, what the last of them leaves counts
        return Choice(n, tuple({stage.layer: stage for stage in stages}.values()))

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """What :meth:`choose` gives, for a view and a number that were found right; several may be of one layer."""
        raise NotImplementedError


@dataclass(frozen=True)
class ScoredPolicy(VisualPolicy):
    """A method that scores every token once and keeps the highest."""

    def score(self, view: VisualView) -> Tensor:
        """Score of every token, (N,), float32; higher is kept, of equal ones the earlier."""
        raise NotImplementedError

    def ranking(self, view: VisualView) -> Tensor:
        """The score."""
        return self.score(view)

    def first_layer(self) -> int:
        """First layer of the language model that sees only what is kept; 0: before the language model."""
        return 0

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """One stage with the highest scores."""
        return (Stage(self.first_layer(), highest(self.score(view), kept)),)


def highest(scores: Tensor, n: int) -> Tensor:
    """Numbers of the n highest scores, rising; of equal ones the earlier. (N,) to (n,)."""
    return keep_top(scores.float(), n).nonzero()[:, 0]


def best(scores: Tensor) -> int:
    """Number of the highest score; of equal ones the earliest."""
    return int(highest(scores, 1)[0])


def cosines(one: Tensor, other: Tensor | None = None) -> Tensor:
    """Cosine of every row with every row, (n, m), float64; 0 where a row has no length.

    Parameters
    ----------
    one, other : torch.Tensor
        (n, D) and (m, D); without the other, of one with itself.
    """
    a = torch.nn.functional.normalize(one.double(), dim=1)
    b = a if other is None else torch.nn.functional.normalize(other.double(), dim=1)
    return a @ b.T


def relative(values: Tensor) -> Tensor:
    """Values moved and stretched to 0 ... 1; all 1 where they are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.ones_like(values)
