"""Parts of transformers, of accelerate beneath it, and of numpy that they do not promise to keep.

Each is reached for in this file alone, where it is needed, so that a version without one still loads the rest.
``tests/unit/test_upgrades.py`` names the versions that they were seen in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn


def eager_mask() -> Callable[..., Any]:
    """What makes the masks of the library's own eager attention."""
    from transformers.masking_utils import eager_mask as function

    return function


def fused_mask() -> Callable[..., Any]:
    """What makes the masks of the library's fused attention: none where a plain causal one is meant."""
    from transformers.masking_utils import sdpa_mask as function

    return function


def fused_attention() -> Callable[..., Any]:
    """The attention of models whose own file has none."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    return sdpa_attention_forward


def window_order(grid: Tensor, merged: int, window: int, patch: int) -> Tensor:
    """Number of the token that stands at each place inside Qwen2.5-VL's tower.

    Parameters
    ----------
    grid : Tensor, shape (1, 3)
        Frames, rows and columns of patches.
    merged, window, patch : int
        Patches along a side of a token; pixels along a side of a window, and of a patch.
    """
    from transformers.vision_utils import get_vision_window_index

    return get_vision_window_index(grid, spatial_merge_size=merged, window_size=window, patch_size=patch)[0]


def transposed_linear() -> type[nn.Module]:
    """A linear layer whose weight is kept as (in, out), as in GPT-2."""
    from transformers.pytorch_utils import Conv1D

    return Conv1D


def gguf_splits() -> Mapping[str, str]:
    """Patterns by which the text of GGUF models is split, by the names that such files use."""
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    return GGUF_PRE_TOKENIZER_SPLITS


def quantisation_names() -> set[str]:
    """Names of the methods of quantisation that the library knows."""
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    return set(AUTO_QUANTIZATION_CONFIG_MAPPING)


def float32_eigenvalues() -> Callable[[np.ndarray], np.ndarray] | None:
    """What is behind ``numpy.linalg.eigvalsh``, which computes in float64 whatever it gets; None where it is gone.

    Of the upper half: it takes a twelfth less time than the lower one.
    """
    function = getattr(getattr(np.linalg, "_umath_linalg", None), "eigvalsh_up", None)
    return None if function is None else partial(function, signature="f->f")


def kept_in_float32(model: Any) -> list[str]:
    """Parts of names of the weights that a model keeps in float32 whatever precision it is loaded in."""
    return [*(model._keep_in_fp32_modules or ()), *(model._keep_in_fp32_modules_strict or ())]


def is_brought_in(module: nn.Module) -> bool:
    """Whether accelerate brings a module's weights to their device for each use."""
    return hasattr(module, "_hf_hook")


def forward_name(module: nn.Module) -> str:
    """Attribute that holds the forward of a module: accelerate keeps what it calls under a name of its own."""
    return "_old_forward" if is_brought_in(module) else "forward"


def left_on_disk(model: Any, module: nn.Module, part: str) -> Tensor:
    """A weight that accelerate leaves on the disk between uses, as a copy on the device where it is used.

    Parameters
    ----------
    model
        The whole model.
    module : nn.Module
        A part of it.
    part : str
        Name of the weight in the module.
    """
    from transformers.integrations.accelerate import load_offloaded_parameter

    path = next(name for name, found in model.named_modules() if found is module)
    hook: Any = module._hf_hook
    return load_offloaded_parameter(model, f"{path}.{part}").to(hook.execution_device)


def best_canvas(size: tuple[int, int], canvases: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Height and width of the canvas that LLaVA-NeXT and OneVision fit a picture of this height and width into."""
    from transformers.image_processing_utils import select_best_resolution

    return select_best_resolution(size, canvases)


def best_tiles(size: tuple[int, int], tile: tuple[int, int], fewest: int, most: int) -> tuple[int, int]:
    """Columns and rows of the tiles that InternVL cuts a picture of this height and width into."""
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

    return get_optimal_tiled_canvas(size, tile, fewest, most)


@contextmanager
def features_added_by(
    part: Any, wrap: Callable[[Callable[..., Tensor]], Callable[..., Tensor]]
) -> Iterator[None]:
    """Wrap what Qwen3-VL adds features of its tower by, between its first layers; nothing for other models.

    Parameters
    ----------
    part
        transformers' language model inside a vision-language model.
    wrap : callable
        Gets the library's function of states, places of the image and features, and returns another.
    """
    function = getattr(part, "_deepstack_process", None)
    if function is None:
        yield
        return
    before = vars(part).get("_deepstack_process")
    part._deepstack_process = wrap(function)
    try:
        yield
    finally:
        if before is None:
            del part._deepstack_process
        else:
            part._deepstack_process = before
