"""Reading the tokens of a finished run once more, for a picture it did not keep the numbers of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.forward.attention_probe import require_attention
from analysis.forward.visibility import Visibility
from analysis.models.loading import LanguageModel
from analysis.results.trace import Trace


@contextmanager
def rerun(model: LanguageModel, trace: Trace, visibility: Visibility | None) -> Iterator[Tensor]:
    """Hold the model and give the ids of a run's tokens, to be read as the run read them.

    Parameters
    ----------
    model : LanguageModel
        The one that made the run.
    trace : Trace
        A run that measured attention over one whole text.
    visibility : Visibility or None
        What that run hid.

    Yields
    ------
    Tensor, shape (T,), int64
        On the CPU.

    Raises
    ------
    AnalysisError
        If the run is another model's, measured no attention, hid something else, or the model shows no keys.
    OutOfMemoryError
        If the device runs out of memory.
    """
    _require_own(model, trace)
    if trace.attention is None:
        reason = trace.unavailable.get("attention", "The run did not measure attention.")
        raise AnalysisError(f"The run has no attention. {reason}", "Run a text that fits at once.")
    hidden = visibility.describe() if visibility is not None else ""
    if hidden != trace.spec.visibility:
        raise AnalysisError(
            f"The run hid {trace.spec.visibility or 'nothing'!r}, and this picture would hide {hidden or 'nothing'!r}.",
            "Ask for the picture with what the run hid.",
        )
    with model.held(f"at {len(trace.tokens):,} tokens"):
        require_attention(model)
        yield torch.from_numpy(trace.tokens.token_id)


def _require_own(model: LanguageModel, trace: Trace) -> None:
    """Refuse a run of another model: its tokens mean something else here."""
    spec, info = trace.spec, model.info
    theirs = (spec.model, spec.revision, spec.dtype, spec.n_layers, spec.vocab_size)
    ours = (info.name, info.revision, info.dtype, info.n_layers, info.vocab_size)
    context = info.context_length or len(trace.tokens)
    if theirs != ours or int(trace.tokens.token_id.max()) >= info.vocab_size or len(trace.tokens) > context:
        raise AnalysisError(
            f"The run was made with {spec.model} ({spec.dtype}), not with the loaded {info.name} ({info.dtype}).",
            "Load that model, or run the text again.",
        )
