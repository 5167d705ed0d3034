"""One pass of the tower for all runs of an image: its features instead of its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

_OF_THE_TOWER = ("pixel_values", "image_sizes", "image_grid_thw", "pixel_attention_mask")


def read_image_once(model: Any, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Run the tower and the projector, and put what they give into the model's input.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model.
    inputs : mapping
        What its processor made of one image and a text, or what this function made of that, which is given back.

    Returns
    -------
    dict
        The same input without ``pixel_values``, with ``mm_encoder_outputs``: any number of passes may be made of it,
        with other texts too, as long as they have as many places for the image.
    """
    if "mm_encoder_outputs" in inputs:
        return dict(inputs)
    features = model.get_image_features(**{k: v for k, v in inputs.items() if k in _OF_THE_TOWER})
    rest = {k: v for k, v in inputs.items() if k not in ("pixel_values", "pixel_attention_mask")}
    return {**rest, "mm_encoder_outputs": {"image": features}}
