"""Reading the tokens of a finished run once more, for a picture it did not keep the numbers of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from analysis.errors import AnalysisError, OutOfMemoryError
from analysis.forward.attention_probe import require_attention
from analysis.forward.visibility import Visibility
from analysis.models.load_errors import is_out_of_memory
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
    with model.lock, torch.inference_mode():
        require_attention(model)
        try:
            yield torch.from_numpy(trace.tokens.token_id)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"{model.info.device_name} ran out of memory at {len(trace.tokens):,} tokens.",
                "Shorten the text or free the device.",
            ) from error


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
