"""What a comparison will cost, before anything is loaded: memory, seconds, and how two models share one device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from analysis.comparison.sides import Side, same_source, second_model, spec_of
from analysis.errors import OutOfMemoryError
from analysis.forward.plan import Plan, plan_run
from analysis.forward.vocabulary_head import BLOCK_BYTES
from analysis.models.embedded import embedded_folder
from analysis.models.hub import snapshot
from analysis.models.loading import LanguageModel
from analysis.models.memory import free_bytes
from analysis.models.placement import resolve_device
from analysis.models.pretrained import choose_precision
from analysis.models.spec import ModelSpec
from analysis.models.stored import PLAIN, bytes_of, stored_tensors
from analysis.models.tokenization import encode

Way = Literal["one model", "both loaded", "one after the other", "A waits"]
WAYS: dict[Way, str] = {
    "one model": "One loaded model serves both sides.",
    "both loaded": "The second model is loaded beside the first, and dropped again.",
    "one after the other": "Each model is loaded when its turn comes, and dropped before the next.",
    "A waits": "The first model waits in the host's memory while the second one is on the device.",
}
"""How two sides share the memory of a device, in a sentence."""
_BLOCKS = 4
"""Blocks of logits that exist at a time while both heads run, as measured."""
_ROWS = 3.0
"""What both heads and all sums cost against one head's readout, as measured."""
_USABLE = 0.9
"""Share of the free memory that a comparison may plan to take."""


@dataclass(frozen=True)
class ComparisonPlan:
    """The price of one comparison."""

    way: Way
    n_tokens: int
    """Of both sides together, those alone that have to be read; 0 where no tokenizer is loaded yet."""
    bytes_needed: int
    """On the device, beyond what is loaded now, at the peak."""
    bytes_free: int
    """Free on the device now; where A waits, with what it leaves."""
    seconds: float | None
    """On an idle machine, without loading; None where the model is not loaded yet."""

    @property
    def fits(self) -> bool:
        """Whether the peak stays within what is free."""
        return self.fits_with(0)

    def fits_with(self, n_bytes: int) -> bool:
        """Whether it would, if so many bytes more were free: those of a model that is dropped first."""
        return self.bytes_needed <= _USABLE * (self.bytes_free + n_bytes)


def plan_comparison(a: Side, b: Side) -> ComparisonPlan:
    """Estimate a comparison without starting it.

    Parameters
    ----------
    a, b : Side
        The sides. Of a model that is not loaded, what its stored weights need is counted as far as they are on this
        machine.

    Raises
    ------
    AnalysisError
        If a text cannot be read.
    """
    loaded = next((side.model for side in (a, b) if isinstance(side.model, LanguageModel)), None)
    device = _device(a, b, loaded)
    runs = [_run_of(side, loaded) for side in (a, b)]
    weights = [_weights_of(side) for side in (a, b)]
    heads = _bytes_of_heads(a, b, loaded)
    own = max((run.bytes_needed for run in runs if run is not None), default=0)
    way: Way
    if not any(weights):
        way, needed = "one model", max(own, heads)
    elif isinstance(a.model, LanguageModel):
        way, needed = "both loaded", max(own, heads) + sum(weights)
    else:
        way = "one model" if same_source(a, b) and not second_model_of_shared(a, b) else "one after the other"
        needed = max(own, heads) + max(weights)
    free = free_bytes(device)
    if way == "both loaded" and needed > _USABLE * free and _can_wait(a):
        assert isinstance(a.model, LanguageModel)
        way, free = "A waits", free + a.model.info.bytes_held
    known = [run for run in runs if run is not None]
    return ComparisonPlan(
        way,
        sum(run.n_tokens for run in known),
        needed,
        free,
        None if loaded is None else _seconds(a, b, known, loaded),
    )


def second_model_of_shared(a: Side, b: Side) -> bool:
    """Whether one of two sides that name the same model still needs weights of its own."""
    return a.untrained or b.untrained


def require_room(plan: ComparisonPlan) -> None:
    """Refuse a comparison that would not fit, before anything is loaded.

    Raises
    ------
    OutOfMemoryError
        With both sizes.
    """
    if not plan.fits:
        raise OutOfMemoryError(
            f"Comparing would need {plan.bytes_needed / 2**30:.1f} GiB and {plan.bytes_free / 2**30:.1f} GiB are free; "
            "nothing was loaded or dropped.",
            "Shorten the text, or choose a smaller second model or a lower precision.",
        )


def _device(a: Side, b: Side, loaded: LanguageModel | None) -> torch.device:
    if loaded is not None:
        return loaded.anatomy.head.weight.device
    named = next((side for side in (a, b) if side.model is not None), None)
    return torch.device("cpu") if named is None else resolve_device(spec_of(named).device)


def _run_of(side: Side, loaded: LanguageModel | None) -> Plan | None:
    """The price of a side's run on the loaded model, whose speed and sizes stand for another's; None without a run."""
    if side.trace is not None or loaded is None:
        return None
    text = side.before + (side.system or "") + side.text
    with loaded.lock:
        n = len(encode(loaded.tokenizer, text, bos=side.bos, parse_special=side.parse_special))
    return plan_run(loaded, n)


def _weights_of(side: Side) -> int:
    """Bytes of the weights that a side adds."""
    if side.model is None or not second_model(side):
        return 0
    if not isinstance(side.model, LanguageModel):
        return stored_weights(spec_of(side)) or 0
    dtype = "float32" if side.untrained or side.precision in (None, "auto") else side.precision
    width: int = getattr(torch, dtype).itemsize
    return side.model.info.n_parameters * width


def stored_weights(spec: ModelSpec) -> int | None:
    """Bytes that the weights of a model will take; None where their files are not here, or do not say.

    Parameters
    ----------
    spec : ModelSpec
        What would be loaded.
    """
    if spec.kind == "gguf":
        return None
    try:
        folder = _folder(spec)
        tensors = stored_tensors(folder) if folder is not None else {}
    except Exception:  # noqa: BLE001 - loading it will say what is wrong
        return None
    if not tensors:
        return None
    width = choose_precision(spec, None).itemsize
    if spec.dtype == "auto" and resolve_device(spec.device).type != "cpu":
        width = 2 if any(tensor.dtype in ("F16", "BF16") for tensor in tensors.values()) else width
    plain = [tensor for tensor in tensors.values() if tensor.dtype in PLAIN]
    return bytes_of(plain or tensors.values(), width, None)


def _folder(spec: ModelSpec) -> Path | None:
    if spec.kind == "hub":
        return snapshot(spec.source, spec.revision)
    return embedded_folder() if spec.kind == "embedded" else spec.path


def _bytes_of_heads(a: Side, b: Side, loaded: LanguageModel | None) -> int:
    """Blocks of logits, the states of both sides, and the head of a model that is dropped."""
    if loaded is None:
        return _BLOCKS * BLOCK_BYTES
    head = loaded.anatomy.head
    block = max(BLOCK_BYTES, 4 * head.vocab_size)
    n = max((len(side.trace.tokens) for side in (a, b) if side.trace is not None), default=0)
    return _BLOCKS * block + 2 * 4 * n * loaded.info.hidden_size


def _can_wait(side: Side) -> bool:
    """Whether a model can leave its device for the host's memory, and has room there."""
    model = side.model
    if not isinstance(model, LanguageModel) or model.anatomy.head.weight.device.type == "cpu":
        return False
    fixed = getattr(model.model, "hf_device_map", None) or getattr(model.model, "hf_quantizer", None)
    return not fixed and model.info.bytes_held <= _USABLE * free_bytes(torch.device("cpu"))


def _seconds(a: Side, b: Side, runs: list[Plan], loaded: LanguageModel) -> float:
    lengths = [run.n_tokens for run in runs]
    lengths += [len(side.trace.tokens) for side in (a, b) if side.trace is not None]
    rows = _ROWS * 2.0 * loaded.anatomy.head.weight.numel() * min(lengths)
    return sum(run.seconds for run in runs) + loaded.speed.seconds({"head": rows})
