"""What a run will cost, before it runs: bytes and seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from analysis.errors import TooLongError
from analysis.forward.attention import LANES, STEP, block_bytes, lanes
from analysis.forward.attention_support import known_support
from analysis.forward.device_spectra import STORE_BYTES
from analysis.forward.layer_spectra import LARGEST_SIDE, WAITING
from analysis.forward.threads import n_threads
from analysis.forward.vocabulary_head import rows_per_block
from analysis.models.attention_choice import attends_eagerly
from analysis.models.memory import free_bytes
from analysis.models.speed import Part
from analysis.results.spectra import CHUNK_ROWS

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

_BLOCKS, _LENS_BLOCKS = 4, 5
"""Blocks of memory without and with the lens, as measured: one or two that are written again and again, one while
oneDNN multiplies, and freed ones that the heap keeps."""
_MEASURED_ATTENTION = 1.3
"""What measuring costs against the library's attention, as seen on a CPU."""
_SCORES_CUDA = 256 << 20
"""One block of attention scores on a CUDA device that has memory for it, see ``forward/attention.py``."""
_SCORE_BLOCKS, _MASK_BLOCKS = 2, 2
"""Such blocks that exist at a time: scores and their exponentials of every thread, and masks."""
_MAPS = 4
"""Maps that exist at a time where a model hands them over: 2.4 to 3.4 measured."""
_EAGER_MATRICES = 4
"""Matrices of T x T per head in an eager attention with sinks: scores, these with the sink, their softmax, and its part
without the sink as a copy."""
_SPECTRA_CHUNKS, _SPECTRA_PRODUCTS = 5, 4
"""Chunks of rows and matrices of products, as float32, while one layer's spectra are taken, in float64 where rows
repeat: up to 5 and 4 measured, the copy that is decomposed included."""
_LAYER_STATISTICS = 64
"""Bytes per head and token while one layer's statistics are reduced, most of them float64."""
_READ_WEIGHTS, _READ_HEAD = 32, 16
"""Tokens whose products take as long as what a pass of whatever length costs the body and the head, as seen on a CPU:
reading the weights, and room for the first block of logits."""
_ATTENTION_ROWS, _ATTENTION_LAYER = 860.0, 350
"""What measuring a query costs beside its keys, in operations per number of its state and layer, and queries that cost
as much as what a layer takes whatever the length, as seen on a CPU."""
_EIGENVALUES, _PREPARATION, _SPECTRA_LAYER = 3.5, 1500.0, 64
"""Price of an operation of a decomposition, and of a number that is centred and normalised, in operations of a product,
and tokens whose preparation takes as long as what a layer takes whatever the length, as seen on a CPU."""
_USABLE = 0.9
"""Share of the free memory a run may plan to take."""


@dataclass(frozen=True)
class Plan:
    """The price of one run."""

    n_tokens: int
    flops_body: float
    flops_head: float
    flops_lens: float
    bytes_needed: int
    """Beyond the weights, at the peak."""
    bytes_free: int
    """Free on the device now."""
    seconds: float
    """On an idle machine, at the speed it has shown so far."""
    work: dict[Part, float]
    """Operations of every kind that has a speed of its own, :attr:`analysis.models.speed.Speed`."""

    @property
    def flops(self) -> float:
        """All floating-point operations of the run."""
        return self.flops_body + self.flops_head + self.flops_lens

    @property
    def fits(self) -> bool:
        """Whether the peak stays within what is free."""
        return self.bytes_needed <= _USABLE * self.bytes_free


def _free(model: LanguageModel) -> int:
    """Free memory of the device that has least of it, of those that compute a part of the model."""
    spread = getattr(model.model, "hf_device_map", None) or {}
    devices = {model.anatomy.head.weight.device}
    devices |= {torch.device("cuda", place) for place in spread.values() if isinstance(place, int)}
    return min(free_bytes(device) for device in devices)


def _bytes_needed(model: LanguageModel, n_tokens: int, pass_tokens: int, n_lens: int, measured: bool) -> int:
    config = model.model.config.get_text_config()
    head = model.anatomy.head
    width, size = model.info.hidden_size, head.weight.element_size()
    inner = int(getattr(config, "intermediate_size", None) or 4 * width)
    inner *= int(getattr(config, "num_experts_per_tok", None) or 1)
    activations = pass_tokens * (10 * width + 4 * inner) * size
    attention = (_measured_bytes if measured else _own_attention_bytes)(model, pass_tokens)
    kept = n_tokens * width * 4 + (2 + n_lens) * pass_tokens * width * size
    per_token = n_tokens * (model.info.n_layers + 4 * max(n_lens, 1) + 64) * 8
    block = 4 * head.vocab_size * min(rows_per_block(head), pass_tokens)
    spectra = _spectra_bytes(n_tokens, width, head.weight.is_cuda) if pass_tokens == n_tokens else 0
    blocks = block * (_LENS_BLOCKS if n_lens else _BLOCKS)
    return activations + attention + kept + per_token + spectra + blocks


def _spectra_bytes(n_tokens: int, width: int, on_cuda: bool) -> int:
    """Spectra of layers that are reduced beside the pass, or stored on the device with their decompositions."""
    if on_cuda:
        return 2 * STORE_BYTES
    if width > LARGEST_SIDE:  # none is taken of a longer text
        n_tokens = min(n_tokens, LARGEST_SIDE)
    chunk, side = min(n_tokens, CHUNK_ROWS), min(n_tokens, width)
    return WAITING * 4 * (n_tokens * width + _SPECTRA_CHUNKS * chunk * width + _SPECTRA_PRODUCTS * side**2)


def _measured_bytes(model: LanguageModel, n_tokens: int) -> int:
    """Attention that measures: blocks of scores, one layer's statistics, and what every layer keeps."""
    config = model.model.config.get_text_config()
    heads = _heads(config)
    support = known_support(model)
    if support is not None and support.by_maps:
        return bytes_of_maps(heads, n_tokens)
    groups = int(getattr(config, "num_key_value_heads", None) or heads)
    row = 4 * n_tokens * (heads // groups)
    device = model.anatomy.head.weight.device
    threads = n_threads(device)
    budget = _SCORES_CUDA if device.type == "cuda" else block_bytes(device, threads)
    block = max(min(STEP, n_tokens) * row, min(budget, min(256, n_tokens) * row))
    one_layer = n_tokens * heads * (_LAYER_STATISTICS + 8 * lanes(groups, LANES, device))
    kept = n_tokens * model.info.n_layers * (2 * heads + 2 * groups) * 4
    return (_SCORE_BLOCKS * threads + _MASK_BLOCKS) * block + one_layer + kept


def _own_attention_bytes(model: LanguageModel, n_tokens: int) -> int:
    """The model's own attention: nothing of T x T unless it is eager or has windows."""
    config = model.model.config.get_text_config()
    n_bytes = 0
    if attends_eagerly(model.model):
        n_bytes += _EAGER_MATRICES * _heads(config) * n_tokens**2 * 4
    if n_tokens > _window_of(config):  # the mask of a window is a matrix: as bits, and as what is added
        n_bytes += n_tokens**2 * (1 + model.anatomy.head.weight.element_size())
    return n_bytes


def bytes_of_maps(n_heads: int, n_tokens: int) -> int:
    """Memory of the maps of one layer that exist at a time, where a model hands them over whole."""
    return _MAPS * 4 * n_heads * n_tokens**2


def _heads(config: Any) -> int:
    """Query heads of a layer; 1 for models without attention."""
    return int(getattr(config, "num_attention_heads", None) or 1)


def _is_measured(model: LanguageModel, attention: bool, n_passes: int) -> bool:
    """Whether a run measures attention: asked for, over one whole text, and not known to be impossible."""
    support = known_support(model)
    return attention and n_passes == 1 and (support is None or not support.reason)


def _window_of(config: Any) -> float:
    """Keys a layer of the model sees at most, infinity without windows."""
    window = getattr(config, "sliding_window", None)
    used = getattr(config, "use_sliding_window", True)
    kinds = getattr(config, "layer_types", None)
    if not window or not used or (kinds and "sliding_attention" not in kinds):
        return float("inf")
    return float(window)


def plan_run(
    model: LanguageModel,
    n_tokens: int,
    *,
    n_lens: int = 0,
    window: int | None = None,
    stride: int | None = None,
    attention: bool = True,
    n_spectra: int | None = None,
) -> Plan:
    """Estimate a run without starting it.

    Parameters
    ----------
    model : LanguageModel
        The model that would run.
    n_tokens : int
        Length of the text.
    n_lens : int
        Layers of the logit lens, 0 for none.
    window, stride : int, optional
        When the text is read in windows.
    attention : bool
        Whether attention is measured.
    n_spectra : int, optional
        Kinds of states whose spectra are taken; by default what a run takes that was not asked.
    """
    info, head = model.info, model.anatomy.head
    in_pass = min(n_tokens, window or n_tokens)
    passes = 1 if window is None or n_tokens <= window else 1 + -(-(n_tokens - window) // (stride or window))
    width = info.hidden_size
    body = info.n_parameters - head.weight.numel()
    measured = _is_measured(model, attention, passes)
    pairs = 2.0 * info.n_layers * width * in_pass**2 * (_MEASURED_ATTENTION if measured else 1)
    per_query = _ATTENTION_ROWS * info.n_layers * width
    flops_body = passes * (2.0 * body * in_pass + pairs)
    flops_head = 2.0 * head.weight.numel() * n_tokens
    flops_lens = flops_head * (n_lens + 1) if n_lens else 0.0
    if n_spectra is None:
        n_spectra = int(min(n_tokens, width) <= LARGEST_SIDE)
    work: dict[Part, float] = {
        "body": passes * 2.0 * body * (in_pass + _READ_WEIGHTS) + (0.0 if measured else passes * pairs),
        "attention": pairs + per_query * (in_pass + _ATTENTION_LAYER) if measured else 0.0,
        "spectra": n_spectra * (info.n_layers + 1) * _spectra_work(n_tokens, width) if passes == 1 else 0.0,
        "head": flops_head + flops_lens + 2.0 * head.weight.numel() * _READ_HEAD,
    }
    return Plan(
        n_tokens,
        flops_body,
        flops_head,
        flops_lens,
        _bytes_needed(model, n_tokens, in_pass, n_lens, measured),
        _free(model),
        model.speed.seconds(work),
        work,
    )


def _spectra_work(n_tokens: int, width: int) -> float:
    """Operations of one layer's two spectra, those that are not of a product at their price."""
    side = min(n_tokens, width)
    products = n_tokens * width * side * (1 if n_tokens <= width else 2)
    return (
        products + 2 * (4 / 3 * side**3) * _EIGENVALUES + (n_tokens + _SPECTRA_LAYER) * width * _PREPARATION
    )


def largest_length(
    model: LanguageModel, *, n_lens: int = 0, window: int | None = None, attention: bool = True
) -> int:
    """Most tokens whose run would fit into the free memory.

    Parameters
    ----------
    model : LanguageModel
        The model that would run.
    n_lens : int
        Layers of the logit lens, 0 for none.
    window : int, optional
        When the text is read in windows, where attention is not measured.
    attention : bool
        Whether attention is to be measured.
    """
    measured = _is_measured(model, attention, 1 if window is None else 2)
    low, high = 0, 1 << 24
    free = _USABLE * _free(model)
    while low < high:
        middle = (low + high + 1) // 2
        if _bytes_needed(model, middle, min(middle, window or middle), n_lens, measured) <= free:
            low = middle
        else:
            high = middle - 1
    return low


def require_fit(
    model: LanguageModel, plan: Plan, *, n_lens: int = 0, window: int | None = None, attention: bool = True
) -> None:
    """Refuse a run that would not fit, naming the largest length that would.

    Parameters
    ----------
    model : LanguageModel
        The model that would run.
    plan : Plan
        From :func:`plan_run` with the same settings.
    n_lens, window, attention
        As for :func:`largest_length`.

    Raises
    ------
    TooLongError
        With both numbers.
    """
    if plan.fits:
        return
    most = largest_length(model, n_lens=n_lens, window=window, attention=attention)
    raise TooLongError(
        f"{plan.n_tokens:,} tokens would need {plan.bytes_needed / 2**30:.1f} GiB and "
        f"{plan.bytes_free / 2**30:.1f} GiB are free.",
        f"Up to {most:,} tokens would fit"
        + ("; fewer lens layers would allow more." if n_lens > 1 else "; or read the text in windows."),
    )
