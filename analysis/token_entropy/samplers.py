"""What common samplers would keep at one position.

The samplers are transformers' own logits processors, so the panel shows what ``generate``
would really do. Only the two that cut a running sum, nucleus and locally typical sampling, are
written out here: transformers lets rounding decide where the sum reaches its limit and in which
order equal tokens come. Top-H stands there twice, because its paper states another rule than the
library follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.forward.vocabulary_head import distribution
from analysis.models.tokenization import token_text
from analysis.token_entropy.orders import TopHOrder, TypicalOrder, top_h_order, typical_order
from analysis.token_entropy.truncation import left_by

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace

TYPICAL_MASS = 0.9
"""Mass of locally typical sampling in the panel."""
TOP_H = 0.4
"""Setting of Top-H in the panel: its paper's alpha."""


@dataclass(frozen=True)
class Kept:
    """What one sampler leaves of the vocabulary at one position."""

    sampler: str
    """Name with its setting; for Top-H whose rule it is, the library's (transformers) or the paper's."""
    count: int
    """Tokens left, at least 1."""
    mass: float
    """Probability of the tokens left, before renormalising, in (0, 1]."""
    keeps_actual: bool | None
    """Whether the token that came is among them; None for the position after the text."""


def log_probs_before(model: LanguageModel, trace: Trace, position: int) -> Tensor:
    """Full distribution that predicted one token.

    Parameters
    ----------
    model : LanguageModel
        The model the run was made with.
    trace : Trace
        A run that kept its final states.
    position : int
        1 to T; T is the position after the last token.

    Returns
    -------
    Tensor, shape (V,), float32
        Nats, on the CPU.

    Raises
    ------
    AnalysisError
        If the run kept no states, the position has no context, or the model is not the
        one of the run.
    """
    if trace.final_states is None:
        raise AnalysisError(
            "Not available: this run kept no final states.",
            "Run a shorter text; states are kept up to 256 MiB.",
        )
    if position == 0:
        raise AnalysisError("Not available: nothing came before this token.", "Choose a later token.")
    if not 1 <= position <= len(trace.tokens):
        raise AnalysisError(
            f"Not available: the run has no position {position}.",
            f"Choose one from 1 to {len(trace.tokens)}.",
        )
    info, spec = model.info, trace.spec
    if (info.name, info.revision, info.dtype) != (spec.model, spec.revision, spec.dtype):
        raise AnalysisError(
            f"Not available: the loaded model is {info.name} in {info.dtype}, "
            f"the run was made with {spec.model} in {spec.dtype}.",
            "Load the model of the run.",
        )
    state = torch.from_numpy(trace.final_states[position - 1 : position].copy())
    with model.held("at one prediction"):
        log_probs, _ = distribution(model.anatomy.head.logits(state.to(model.anatomy.head.weight.device)))
    return log_probs[0].cpu()


def what_samplers_keep(
    log_probs: Tensor,
    actual: int | None = None,
    *,
    top_k: int = 50,
    top_p: float = 0.9,
    min_p: float = 0.1,
    typical: float = TYPICAL_MASS,
    top_h: float = TOP_H,
    eta: float = 3e-4,
) -> list[Kept]:
    """Apply six samplers to one distribution, each alone and at temperature 1; one of them by two rules.

    Parameters
    ----------
    log_probs : Tensor, shape (V,)
        Nats.
    actual : int, optional
        Id of the token that came.
    top_k, top_p, min_p, typical, top_h, eta
        Settings of top-k, nucleus, min-p, locally typical, top-H and eta sampling.

    Returns
    -------
    list of Kept
        The six, and Top-H by the constraint of its paper beside it, see
        :func:`analysis.token_entropy.truncation.top_h_of_the_paper`.

    Notes
    -----
    Ties: nucleus and locally typical sampling take equal tokens in the order of their ids; top-k, as transformers
    does it, keeps all that equal the k-th.
    """
    probs = log_probs.float().exp()
    left = {
        f"top-k {top_k}": left_by("top-k", top_k, log_probs),
        f"top-p {top_p:g}": left_by("top-p", top_p, log_probs),
        f"min-p {min_p:g}": left_by("min-p", min_p, log_probs),
        f"typical {typical:g}": left_by("typical", typical, log_probs),
        f"top-H {top_h:g}, library": left_by("top-h", top_h, log_probs),
        f"top-H {top_h:g}, paper": left_by("top-h-paper", top_h, log_probs),
        f"eta {eta:g}": left_by("eta", eta, log_probs),
    }
    return [
        Kept(
            name,
            int(mask.sum()),
            min(1.0, float(probs[mask].double().sum())),
            None if actual is None else bool(mask[actual]),
        )
        for name, mask in left.items()
    ]


def sampler_panel(model: LanguageModel, trace: Trace, position: int, **settings: Any) -> list[Kept]:
    """What each sampler would have kept just before one token of a run.

    Parameters
    ----------
    model, trace, position
        As in :func:`log_probs_before`.
    **settings
        As in :func:`what_samplers_keep`.
    """
    log_probs = log_probs_before(model, trace, position)
    actual = int(trace.tokens.token_id[position]) if position < len(trace.tokens) else None
    return what_samplers_keep(log_probs, actual, **settings)


@dataclass(frozen=True)
class SamplerView:
    """What samplers keep before one token, and how two of them choose."""

    kept: list[Kept]
    typical: TypicalOrder
    top_h: TopHOrder


def sampler_view(model: LanguageModel, trace: Trace, position: int) -> SamplerView:
    """The panel of :func:`sampler_panel` and the orders of locally typical sampling and Top-H in it.

    Parameters
    ----------
    model, trace, position
        As in :func:`log_probs_before`.
    """
    log_probs = log_probs_before(model, trace, position)
    actual = int(trace.tokens.token_id[position]) if position < len(trace.tokens) else None

    def name(token: int) -> str:
        return token_text(model.tokenizer, token)

    return SamplerView(
        what_samplers_keep(log_probs, actual),
        typical_order(log_probs, TYPICAL_MASS, name),
        top_h_order(log_probs, TOP_H, name),
    )
