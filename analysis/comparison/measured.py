"""A side once its model has read its text: the run, and what is kept of the model to compare distributions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from analysis.comparison.evicted import evicted_trace
from analysis.errors import AnalysisError
from analysis.forward.trace import trace, trace_ids
from analysis.models.tokenization import encode, tokens_of_ids
from analysis.progress import Progress
from analysis.results.trace import Trace
from analysis.writing.chat import chat_prompt
from analysis.writing.results import Message

if TYPE_CHECKING:
    from analysis.comparison.sides import Side
    from analysis.models.anatomy import Head
    from analysis.models.loading import LanguageModel

ROUNDED_AGAIN = "Round trip of already rounded weights: they were stored in a few bits, and lie on the grid of those before."
"""Said of a round trip where the weights are not those of the training."""
_TRIED_ROWS = 8
_READOUT = 1e-4
"""Nats between two float32 routes to an entropy, as in a run's own check."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A side after its run. Of its model only the vocabulary head and the tokenizer are left."""

    trace: Trace
    head: Head | None = None
    """None where the head that made the run is not at hand."""
    tokenizer: Any | None = None

    def with_head_of(self, other: Measured) -> Measured:
        """The same with head and tokenizer of another side, where that head made this run."""
        if self.head is not None or other.head is None or not made_by(other.head, self.trace):
            return self
        return replace(self, head=other.head, tokenizer=other.tokenizer)

    @property
    def missing(self) -> str:
        """Why there are no distributions on this side, in a sentence; empty if there are."""
        if self.trace.final_states is None:
            return "Its run kept no final states, from which distributions are computed again."
        if self.head is None:
            spec = self.trace.spec
            return f"The head of {spec.model} ({spec.revision}, {spec.dtype}), which made its run, is not at hand."
        return ""


def made_by(head: Head, run: Trace) -> bool:
    """Whether a vocabulary head made a run: whether it gives the run's own entropies for the states that were kept.

    Parameters
    ----------
    head : Head
        Of any model.
    run : Trace
        Of this machine or another.

    Notes
    -----
    Names and folders say less: they differ between machines for the same weights, and stay when a folder is written
    again. Rounding a head to 16 bits moves entropies by more than two float32 routes to them do.
    """
    if run.final_states is None or head.weight.shape != (run.spec.vocab_size, run.final_states.shape[1]):
        return False
    known = np.flatnonzero(run.tokens.has_context[1:]) + 1
    picked = (
        known[np.unique(np.linspace(0, len(known) - 1, _TRIED_ROWS).astype(int))] if len(known) else known
    )
    with torch.inference_mode():
        dense = head.logits(torch.from_numpy(run.final_states[picked - 1])).cpu().double().log_softmax(-1)
        entropy = -(dense.exp() * dense).nan_to_num().sum(-1).numpy()
    return bool(np.abs(entropy - run.tokens.entropy[picked]).max(initial=0.0) <= _READOUT)


def measure(side: Side, model: LanguageModel, top_k: int, report: Progress) -> Measured:
    """Let the model of a side read its text, unless there is a run of it.

    Parameters
    ----------
    side : Side
        What is read.
    model : LanguageModel
        From :func:`analysis.comparison.sides.opened`.
    top_k : int
        Alternatives kept per token.
    report : callable
        ``report(share, what)``.
    """
    if side.trace is not None:
        return Measured(side.trace).with_head_of(Measured(side.trace, model.anatomy.head, model.tokenizer))
    if side.system is not None:
        run = _of_chat(side, model, top_k, report)
    elif side.eviction is not None:
        with model.held("while reading what is left"):
            text = side.before + side.text
            tokens = encode(model.tokenizer, text, bos=side.bos, parse_special=side.parse_special)
            run = evicted_trace(model, text, tokens, side.eviction, top_k=top_k, on_progress=report)
    else:
        run = trace(
            model,
            side.before + side.text,
            top_k=top_k,
            bos=side.bos,
            parse_special=side.parse_special,
            stride=side.stride,
            visibility=side.visibility,
            on_progress=report,
        )
    return Measured(_said(run, side, model), model.anatomy.head, model.tokenizer)


def _of_chat(side: Side, model: LanguageModel, top_k: int, report: Progress) -> Trace:
    """The text as a user's message, up to its end: what the template prints after it is not read."""
    turns = [Message("user", side.text)]
    turns = [Message("system", side.system), *turns] if side.system else turns
    prompt = chat_prompt(model, turns)
    spans = [span for span in prompt.spans if span.kind == "user"]
    if not spans:
        raise AnalysisError(
            f"The chat template of {model.info.name} alters what the messages say, so where the text stands is not "
            "known.",
            "Put the system message in front of the text as it is.",
        )
    ids = prompt.ids[: spans[-1].end]
    if side.eviction is not None:
        with model.held("while reading what is left"):
            text, tokens = tokens_of_ids(model.tokenizer, ids)
            run = evicted_trace(model, text, tokens, side.eviction, top_k=top_k, on_progress=report)
    else:
        run = trace_ids(
            model, ids, top_k=top_k, stride=side.stride, visibility=side.visibility, on_progress=report
        )
    first = int(run.tokens.start[spans[-1].start])
    return replace(run, spec=replace(run.spec, n_before=first))


def _said(run: Trace, side: Side, model: LanguageModel) -> Trace:
    """The run with what its side was in its spec."""
    spec = run.spec
    spec = replace(
        spec,
        adapter=spec.adapter or str(side.adapter or ""),
        strength=1.0 if side.adapter is None else side.strength,
        rounded=side.rounded or "",
        n_before=spec.n_before or len(side.before),
    )
    rounded_before = model.spec.kind in ("embedded", "gguf") or model.info.weights
    notes = (ROUNDED_AGAIN,) if side.rounded and rounded_before else ()
    return replace(run, spec=spec, notes=(*run.notes, *notes))


def head_on(head: Head, device: torch.device) -> Head:
    """A vocabulary head on a device, as it is if it is there."""
    bias = None if head.bias is None else head.bias.to(device)
    return replace(head, weight=head.weight.to(device), bias=bias)
