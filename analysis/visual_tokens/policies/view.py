"""What was measured of one picture and one question, as the methods read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class TowerLayer:
    """One layer of the vision tower: the class token's row, and all values.

    Parameters
    ----------
    cls_attention : torch.Tensor
        (N,), mean over heads.
    cls_value : torch.Tensor
        (N, d): the class token's value in the picture of the tower that each token comes from; (d,) where there is
        one.
    values : torch.Tensor
        (N, d), heads beside each other.
    """

    cls_attention: Tensor
    cls_value: Tensor
    values: Tensor


@dataclass(frozen=True, eq=False)
class VisualView:
    """Parts of one pass in which no visual token was missing; what a model does not have stays empty.

    The N tokens are those with a place on the picture, in the order of the language model; learned newlines are
    not among them: they are always kept and counted apart. Attention and states of the tower are averaged over
    the patches of a token where a token has several. Layers of the language model count from 0, all parts are
    float32 on the CPU.

    Parameters
    ----------
    features : torch.Tensor
        (N, D), projected features as they enter the language model.
    row, column : torch.Tensor
        (N,) of int64, place in the token's own grid.
    n_layers : int
        Layers of the language model, L.
    crop : torch.Tensor, optional
        (N,) of int64: 0 for the whole picture seen small, 1, 2, ... for its crops, whose rows and columns count
        on over the picture.
    tower_attention : torch.Tensor, optional
        (H, N, N) of the tower, patches alone; row: query.
    cls_attention : torch.Tensor, optional
        (H, N), class token's row in the tower layer whose features are used.
    cls_logits : torch.Tensor, optional
        (H, N), scores of that row before the softmax.
    first_cls_attention : torch.Tensor, optional
        (H, N), the row in the tower's first layer.
    tower_keys : torch.Tensor, optional
        (N, d), keys of that tower layer, mean over heads.
    tower_layers : tuple of TowerLayer
        Tower layers in which a method may prune, in order: every other one up to that whose features are used.
    grey_entropy : torch.Tensor, optional
        (N,), entropy of the grey levels of each token's pixels, in nats.
    keys, text_keys : mapping of int to torch.Tensor
        By layer: (N, d) and (T, d), keys of visual tokens and of all text tokens, heads beside each other.
    queries : mapping of int to torch.Tensor
        By layer: (N, H, d), queries of visual tokens after rotation.
    states, text_states : mapping of int to torch.Tensor
        By layer: (N, D) and (T, D), what enters it.
    attention : mapping of int to torch.Tensor
        By layer: (H, Q, N), rows of the Q tokens of the question.
    question : torch.Tensor, optional
        (Q, D), embeddings of the question's tokens.
    patch_embeddings, text_embedding : torch.Tensor, optional
        (N, e) and (e,), in the space shared by the tower and its text tower.
    sublayers : mapping of int to tuple
        By layer: for attention and MLP, what entered after the norm and what came out before it was added, (N, D)
        each.
    projector_inputs : torch.Tensor, optional
        (N, d), what the projector is given.
    projector : callable, optional
        From (..., d) to (..., D).
    """

    features: Tensor
    row: Tensor
    column: Tensor
    n_layers: int
    crop: Tensor | None = None
    tower_attention: Tensor | None = None
    cls_attention: Tensor | None = None
    cls_logits: Tensor | None = None
    first_cls_attention: Tensor | None = None
    tower_keys: Tensor | None = None
    tower_layers: tuple[TowerLayer, ...] = ()
    grey_entropy: Tensor | None = None
    keys: Mapping[int, Tensor] = field(default_factory=dict)
    text_keys: Mapping[int, Tensor] = field(default_factory=dict)
    queries: Mapping[int, Tensor] = field(default_factory=dict)
    states: Mapping[int, Tensor] = field(default_factory=dict)
    text_states: Mapping[int, Tensor] = field(default_factory=dict)
    attention: Mapping[int, Tensor] = field(default_factory=dict)
    question: Tensor | None = None
    patch_embeddings: Tensor | None = None
    text_embedding: Tensor | None = None
    sublayers: Mapping[int, tuple[tuple[Tensor, Tensor], ...]] = field(default_factory=dict)
    projector_inputs: Tensor | None = None
    projector: Callable[[Tensor], Tensor] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def part(self, name: str) -> Tensor:
        """A part that the method needs and :meth:`VisualPolicy.choose` has found to be there."""
        found = getattr(self, name)
        assert found is not None, name
        return found

    def has(self, name: str) -> bool:
        """Whether a part was measured."""
        found = getattr(self, name)
        return found is not None and (not isinstance(found, (Mapping, tuple)) or len(found) > 0)


WHY_MISSING = {
    "crop": "This model sees the picture once, without crops.",
    "tower_attention": "The vision tower's attention between patches cannot be read.",
    "cls_attention": "The vision tower has no class token, so there is no attention of one.",
    "cls_logits": "The vision tower has no class token, so there is no attention of one.",
    "first_cls_attention": "The vision tower has no class token, so there is no attention of one.",
    "tower_keys": "The vision tower's keys cannot be read.",
    "tower_layers": "The vision tower has no class token whose attention could be followed over its layers.",
    "grey_entropy": "Which pixels a visual token is made of is not known.",
    "keys": "The language model's keys cannot be read.",
    "text_keys": "The language model's keys cannot be read.",
    "queries": "The language model's queries cannot be read.",
    "states": "The language model's states cannot be read.",
    "text_states": "The language model's states cannot be read.",
    "attention": "The language model's attention on the picture cannot be read.",
    "question": "There is no question.",
    "patch_embeddings": "The vision tower has no text tower that shares its space.",
    "text_embedding": "The vision tower has no text tower that shares its space.",
    "sublayers": "The states between the language model's sublayers cannot be read.",
    "projector_inputs": "What enters the projector cannot be read.",
    "projector": "The projector cannot be run by itself, token by token.",
}
"""Why a model without a part cannot run the methods that need one."""
