"""The information horizon over many scenes, by kind of question: the shipped model's answers without the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from analysis.progress import Progress, silent
from analysis.visual_tokens.horizon_results import LEAST, SceneHorizon
from analysis.visual_tokens.parts import language_layers
from analysis.visual_tokens.policies.base import Choice, Stage
from analysis.visual_tokens.shipped.build import N_VISUAL
from analysis.visual_tokens.shipped.packed_pass import patch_states, project
from analysis.visual_tokens.shipped.packed_questions import (
    PackedQuestions,
    everything,
    require_scenes,
    scenes_asked,
)
from analysis.visual_tokens.shipped.packing import pixels_of

if TYPE_CHECKING:
    from analysis.visual_tokens.vision_model import VisionModel


def horizon_over_scenes(
    vlm: VisionModel,
    questions: int = 500,
    *,
    split: str = "test",
    least: float = LEAST,
    on_progress: Progress = silent,
) -> SceneHorizon:
    """Follow the shipped model's answers about many scenes while the picture goes before each layer.

    Parameters
    ----------
    vlm : VisionModel
        The shipped model, or one that was trained like it.
    questions : int, default 500
        How many, about the first scenes of the split.
    split : {"test", "validation", "train"}
    least : float, default 0.05
        Mean change in nats that counts.
    on_progress : callable
        Called with the share that is done and a text; raising from it stops the run.
    """
    nothing = torch.zeros(0, dtype=torch.int64)
    picture: list[int] = []
    kind: list[str] = []
    logp, right = [], []
    with vlm.held("while asking about scenes"):
        require_scenes(vlm)
        n_layers = len(language_layers(vlm.model))
        for block in scenes_asked(split, questions):
            on_progress(len(picture) / questions, f"question {len(picture) + 1} of {questions}")
            pixels = pixels_of([one for one, _ in block])
            tokens = project(vlm.model, patch_states(vlm.model, pixels.to(vlm.model.dtype)))
            rows = PackedQuestions(vlm, tokens, [asked for _, asked in block])
            steps = [Choice(N_VISUAL, (Stage(layer, nothing),)) for layer in range(n_layers)]
            found = [rows.measure([step] * len(block), by_scene=True) for step in (everything(), *steps)]
            logp.append(np.stack([one["answer_logp"] for one in (*found[1:], found[0])]))
            right.append(np.stack([one["right"] for one in (*found[1:], found[0])]) > 0)
            picture += [one.seed for one, asked in block for _ in asked]
            kind += [q.kind for _, asked in block for q in asked]
    on_progress(1.0, "done")
    return SceneHorizon(
        vlm.name,
        np.array(picture),
        np.array(kind),
        np.concatenate(logp, 1),
        np.concatenate(right, 1),
        least,
    )
