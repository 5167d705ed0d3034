"""Running a model with what a method leaves of the visual tokens: features mixed, the others hidden or physically gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.models.body import hooks
from analysis.models.library_parts import features_added_by
from analysis.visual_tokens.parts import language_layers, language_part
from analysis.visual_tokens.removal import dropped_in_stages, hidden

if TYPE_CHECKING:
    from analysis.visual_tokens.policies.base import Choice, Stage


@contextmanager
def pruned(model: Any, choice: Choice, places: Tensor, *, physically: bool = False) -> Iterator[None]:
    """Leave a model only the visual tokens that a method chose, from the layers on that it chose.

    Hidden by masks this holds for decoding too, in every family. The features of the whole image go in, so that
    one pass of the tower serves all choices.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model, attention "sdpa" or "eager"; one text a batch, read once inside the block.
    choice : Choice
        Of :meth:`VisualPolicy.choose`.
    places : torch.Tensor
        (N,) of int64, rising: positions in the text of the tokens that the method chose from.
    physically : bool, default False
        Whether states are dropped, which saves time and memory: one pass, without a cache.

    Raises
    ------
    UnsupportedModelError
        Under other attention kernels.
    """
    stages, mixings = _steps(choice, places, len(language_layers(model)))
    with ExitStack() as stack:
        if physically and stages:
            stack.enter_context(dropped_in_stages(model, stages))
        for layer, positions in () if physically else stages:
            stack.enter_context(hidden(model, positions, layer))
        for one, centred in mixings:  # after the drops: theirs come first in a layer
            stack.enter_context(_mixing(model, one, physically=physically))
            if centred:
                stack.enter_context(_centred(model, one))
        yield


def _steps(
    choice: Choice, places: Tensor, n_layers: int
) -> tuple[list[tuple[int, Tensor]], list[tuple[_Mixing, bool]]]:
    """What goes before which layer, by positions in the text, and what is mixed there, with whether it is centred."""
    present, before = torch.arange(choice.n), None
    gone = places[:0]
    stages, mixings = [], []
    for stage in choice.stages:
        if stage.layer >= n_layers:
            break
        weights = step_weights(stage, before)
        if weights is not None and len(weights):
            one = _Mixing(stage.layer, places[present], places[stage.kept], weights, gone)
            mixings.append((one, stage.centred))
        leaves = places[present[~torch.isin(present, stage.kept)]]
        stages.append((stage.layer, leaves))
        gone = torch.cat([gone, leaves]).sort().values
        present, before = stage.kept, stage
    return stages, mixings


def step_weights(stage: Stage, before: Stage | None) -> Tensor | None:
    """Weights (n, m) of the m tokens of the stage before, or of all, in the n that this one leaves.

    None where nothing is mixed at this stage: what was merged at an earlier one goes on as it is.
    """
    if stage.mix is None:
        return None
    if before is None:
        return stage.mix
    if before.mix is None:
        return stage.mix[:, before.kept]
    place = torch.searchsorted(before.kept, stage.kept)
    if torch.equal(before.mix[place], stage.mix):
        return None
    weights = (stage.mix.double() @ torch.linalg.pinv(before.mix.double())).float()
    assert torch.allclose(weights @ before.mix, stage.mix, atol=1e-4), "mixed of what had not been kept apart"
    return weights


@dataclass(frozen=True, eq=False)
class _Mixing:
    """At one layer, tokens become weighted sums of those that are still there.

    Parameters
    ----------
    layer : int
    given, made : torch.Tensor
        (m,) and (n,): positions in the text, of what is mixed and of what is left.
    weights : torch.Tensor
        (n, m).
    gone : torch.Tensor
        Positions that went before, rising: where states are dropped, rows are counted without them.
    """

    layer: int
    given: Tensor
    made: Tensor
    weights: Tensor
    gone: Tensor

    def row(self, positions: Tensor) -> Tensor:
        """Rows of positions once what went before has been dropped."""
        return positions - torch.searchsorted(self.gone, positions)

    def mixed(self, values: Tensor, given: Tensor, made: Tensor) -> Tensor:
        """Values (rows, D), those in rows ``made`` mixed of those in rows ``given``."""
        values = values.clone()
        values[made] = self.weights.to(values) @ values[given]
        return values


@contextmanager
def _mixing(model: Any, one: _Mixing, *, physically: bool) -> Iterator[None]:
    """Mix states before a layer, and the features that Qwen3-VL adds after it and later ones."""
    rows = (one.row(one.given), one.row(one.made)) if physically else (one.given, one.made)

    def before(_module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        states = arguments[0] if arguments else keywords.pop("hidden_states")
        if states.shape[1] > int(rows[0][-1]):  # not a later step
            states = one.mixed(states[0], *rows)[None]
        return (states, *arguments[1:]), keywords

    def wrap(add: Callable[..., Tensor]) -> Callable[..., Tensor]:
        layers = count()

        def add_mixed(states: Tensor, visual: Tensor, features: Tensor) -> Tensor:
            if next(layers) >= one.layer:
                among = visual[0].nonzero()[:, 0]
                features = one.mixed(features, *(torch.searchsorted(among, p) for p in (one.given, one.made)))
            return add(states, visual, features)

        return add_mixed

    layer = language_layers(model)[one.layer]
    with hooks() as handles, features_added_by(language_part(model), wrap):
        handles.append(layer.register_forward_pre_hook(before, with_kwargs=True, prepend=True))
        yield


@contextmanager
def _centred(model: Any, one: _Mixing) -> Iterator[None]:
    """Put what is left at the mean position of what it was mixed of."""
    assert one.layer == 0

    def before(_module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        inside = "position_ids" in keywords
        positions = keywords["position_ids"] if inside else arguments[1]
        if positions.shape[-1] > int(one.given[-1]):
            weights = one.weights.to(positions.device)
            means = positions[..., one.given].float() @ (weights / weights.sum(1, keepdim=True)).T
            positions = positions.float()
            positions[..., one.made] = means
        if inside:
            return arguments, keywords | {"position_ids": positions}
        return (arguments[0], positions, *arguments[2:]), keywords

    with hooks() as handles:
        handles.append(language_part(model).rotary_emb.register_forward_pre_hook(before, with_kwargs=True))
        yield
