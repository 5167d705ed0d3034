"""An experiment: states pushed along the direction of unsure prompts, and how sure the choice of an answer is then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.errors import AnalysisError, TooLongError
from analysis.forward.body_pass import Measured, run_pass
from analysis.forward.vocabulary_head import distribution
from analysis.models.body import first_tensor, hooks
from analysis.papers.citations import cited
from analysis.progress import Progress, silent
from analysis.units import Unit, from_nats
from analysis.writing.beginning import token_ids
from analysis.writing.prompt import prompt_of
from analysis.writing.results import Prompt

if TYPE_CHECKING:
    import pandas as pd

    from analysis.models.loading import LanguageModel

SOURCE = f"Entropic activation steering, {cited('east')}."
KNOWN = (
    "Abstract and secondary sources: a mean of the last prompt token's states, weighted by the entropy of the actions, is "
    "added at a middle layer. Its layer, its weights and its strengths are not known here. The entropy of an action is that of "
    "the first tokens of the named choices, renormalised; the plain mean is taken off the weighted one, so that what prompts "
    "have in common is not added. No text is written."
)


@dataclass(frozen=True)
class SteeringVector:
    """A direction from sure prompts to unsure ones, in the states of one layer."""

    layer: int
    """Layer from 1 to L whose states it is of."""
    vector: np.ndarray
    """float32, (D,)."""
    choices: tuple[str, ...]
    entropy: np.ndarray
    """float64, (P,), nats: over the choices, of every prompt."""
    state_norm: float
    """Mean length of the states that it was made of: a strength times its own length is to be compared with that."""
    source: str = SOURCE
    known: str = KNOWN

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per prompt."""
        import pandas as pd

        return pd.DataFrame(
            {"prompt": np.arange(len(self.entropy)), f"choice_entropy_{unit}": from_nats(self.entropy, unit)}
        )


@dataclass(frozen=True)
class Steered:
    """Probabilities of the choices at several strengths."""

    layer: int
    strength: np.ndarray
    """float64, (S,)."""
    choices: tuple[str, ...]
    probabilities: np.ndarray
    """float64, (S, P, C): of each choice's first token, of the whole vocabulary."""
    source: str = SOURCE
    known: str = KNOWN

    @property
    def entropy(self) -> np.ndarray:
        """float64, (S, P), nats, at most ln C: over the choices alone, renormalised."""
        return _entropy(self.probabilities)

    @property
    def mass(self) -> np.ndarray:
        """float64, (S, P): probability of all choices together; where it is small, the model says something else."""
        return np.asarray(self.probabilities.sum(-1))

    @property
    def highest(self) -> float:
        """nats: ``ln C``, of choices that are equally likely."""
        return float(np.log(len(self.choices)))

    def means(self, at: int) -> tuple[float, float]:
        """Entropy in nats and mass at strength number ``at``, each the mean over the prompts."""
        return float(self.entropy[at].mean()), float(self.mass[at].mean())

    def nearest(self, strength: float) -> int:
        """Number of the strength that is closest to one."""
        return int(np.abs(self.strength - strength).argmin())

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per strength and prompt."""
        import pandas as pd

        n_strengths, n_prompts, _ = self.probabilities.shape
        of_choices = {f"p {c}": self.probabilities[..., i].ravel() for i, c in enumerate(self.choices)}
        return pd.DataFrame(
            {
                "strength": np.repeat(self.strength, n_prompts),
                "prompt": np.tile(np.arange(n_prompts), n_strengths),
                f"choice_entropy_{unit}": from_nats(self.entropy.ravel(), unit),
                "mass": self.mass.ravel(),
                **of_choices,
            }
        )


@contextmanager
def steered(model: LanguageModel, layer: int, push: Tensor | None) -> Iterator[None]:
    """Add a vector to the states after a layer, at every position, while the block lasts.

    Parameters
    ----------
    model : LanguageModel
        Held by the caller. What it computes here must not stay in a cache that others read.
    layer : int
        From 1 to L.
    push : Tensor, shape (D,), or None
        None adds nothing.
    """

    def add(_module: nn.Module, _args: Any, output: Any) -> Any:
        assert push is not None
        states = first_tensor(output)
        moved = states + push.to(states.device, states.dtype)
        return (moved, *output[1:]) if isinstance(output, (tuple, list)) else moved

    with hooks() as handles:
        if push is not None:
            handles.append(model.anatomy.layers[layer - 1].register_forward_hook(add))
        yield


def steering_vector(
    model: LanguageModel,
    prompts: Sequence[str | Prompt],
    choices: Sequence[str],
    layer: int | None = None,
    progress: Progress = silent,
) -> SteeringVector:
    """Find the direction from sure prompts to unsure ones.

    Parameters
    ----------
    model : LanguageModel
        Reads every prompt once.
    prompts : sequence of str or Prompt
        P texts that ask for one of the choices next.
    choices : sequence of str
        Answers that begin with different tokens, spaces with them, such as " A" and " B".
    layer : int, optional
        From 1 to L; the middle one by default.
    progress : callable, optional
        Raising from it stops the work.

    Raises
    ------
    AnalysisError
        If prompts, choices or the layer do not fit, or all prompts are equally sure.

    Notes
    -----
    ``sum_i (H_i / sum H - 1 / P) h_i`` with ``H_i`` the entropy over the choices and ``h_i`` the last token's state.
    """
    ids, first, layer = _checked(model, prompts, choices, layer)
    if len(ids) < 2:
        raise AnalysisError("One prompt has no direction.", "Give two prompts or more.")
    states, probabilities = [], []
    for n, one in enumerate(ids):
        measured = _read(model, one, layer, None)
        states.append(measured.lens_states[0][-1].float().cpu().numpy())
        probabilities.append(_of_choices(model, measured, first))
        progress((n + 1) / len(ids), f"prompt {n + 1}/{len(ids)}")
    entropy, rows = _entropy(np.stack(probabilities)), np.stack(states).astype(np.float64)
    if np.ptp(entropy) == 0:
        raise AnalysisError("All prompts are equally sure.", "Give prompts of which some are harder.")
    vector = (entropy / entropy.sum() - 1 / len(ids)) @ rows
    norm = float(np.linalg.norm(rows, axis=-1).mean())
    return SteeringVector(layer, vector.astype(np.float32), tuple(choices), entropy, norm)


def steer(
    model: LanguageModel,
    prompts: Sequence[str | Prompt],
    vector: SteeringVector,
    strengths: Sequence[float],
    progress: Progress = silent,
) -> Steered:
    """Read prompts with the vector added at several strengths.

    Parameters
    ----------
    model : LanguageModel
        The one that the vector is of.
    prompts : sequence of str or Prompt
        P texts, best others than those that the vector was made of.
    vector : SteeringVector
        From :func:`steering_vector`.
    strengths : sequence of float
        What it is multiplied with; 0 adds nothing, below 0 makes surer.
    progress : callable, optional
        Raising from it stops the work.

    Raises
    ------
    AnalysisError
        If prompts or strengths do not fit, or the vector is another model's.
    """
    ids, first, layer = _checked(model, prompts, vector.choices, vector.layer)
    if len(vector.vector) != model.info.hidden_size:
        raise AnalysisError("The vector is another model's.", "Make one with this model.")
    if not len(strengths) or not np.isfinite(strengths).all():
        raise AnalysisError("A strength is a number.", "Type one or more, such as -2, 0 and 2.")
    push, n_all = torch.from_numpy(vector.vector), len(ids) * len(strengths)
    out = np.zeros((len(strengths), len(ids), len(first)))
    for s, strength in enumerate(strengths):
        for n, one in enumerate(ids):
            measured = _read(model, one, layer, strength * push if strength else None)
            out[s, n] = _of_choices(model, measured, first)
            progress((s * len(ids) + n + 1) / n_all, f"strength {strength:g}, prompt {n + 1}/{len(ids)}")
    return Steered(layer, np.array(strengths, np.float64), vector.choices, out)


def _checked(
    model: LanguageModel, prompts: Sequence[str | Prompt], choices: Sequence[str], layer: int | None
) -> tuple[list[tuple[int, ...]], list[int], int]:
    n_layers, limit = len(model.anatomy.layers), model.info.context_length
    layer = max(1, n_layers // 2) if layer is None else layer
    if not 1 <= layer <= n_layers:
        raise AnalysisError(f"There is no layer {layer}.", f"Choose one from 1 to {n_layers}.")
    with model.lock:
        ids = [prompt_of(model, prompt).ids for prompt in prompts]
    if not ids or not all(ids):
        raise AnalysisError("A prompt is missing or empty.", "Type a few words.")
    if limit and max(map(len, ids)) > limit:
        raise TooLongError(f"A prompt is longer than the context of {limit:,} tokens.", "Shorten it.")
    first = [token_ids(model, choice)[0] for choice in choices]
    if len(set(first)) < max(2, len(first)):
        raise AnalysisError(
            "The choices do not begin with different tokens.", "Give two or more, such as ' A' and ' B'."
        )
    return ids, first, layer


def _read(model: LanguageModel, ids: tuple[int, ...], layer: int, push: Tensor | None) -> Measured:
    with model.held(f"at {len(ids):,} tokens"), steered(model, layer, push):
        return run_pass(model, torch.tensor(ids), [layer], lambda _layer: None)


def _of_choices(model: LanguageModel, measured: Measured, first: list[int]) -> np.ndarray:
    head = model.anatomy.head
    with model.held("at one prediction"):
        probs = distribution(head.logits(measured.final_states[-1:]))[1][0, first]
    return probs.double().cpu().numpy()


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    share = probabilities / probabilities.sum(-1, keepdims=True)
    return np.asarray(-(share * np.log(share, where=share > 0, out=np.zeros_like(share))).sum(-1))
