"""The shipped model's folder, and its weights as a training left them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, LlavaForConditionalGeneration

from analysis.visual_tokens.shipped.build import build_model

FOLDER = Path(__file__).parent / "model"
"""Configuration, processor and 16-bit weights."""


def open_folder(folder: Path = FOLDER) -> LlavaForConditionalGeneration:
    """Open a saved model from local files alone, for computing in float32."""
    return AutoModelForImageTextToText.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    ).eval()


def open_checkpoint(path: Path) -> LlavaForConditionalGeneration:
    """Build the model with the weights of a checkpoint of its training, finished or not.

    Parameters
    ----------
    path : pathlib.Path
        ``checkpoint.safetensors`` of :mod:`analysis.visual_tokens.training`.
    """
    model = build_model()
    with safe_open(path, "pt") as file:
        names = [key for key in file.keys() if key.startswith("model:")]  # noqa: SIM118  (no iteration without it)
        model.load_state_dict({key.partition(":")[2]: file.get_tensor(key) for key in names})
    return model.eval()
