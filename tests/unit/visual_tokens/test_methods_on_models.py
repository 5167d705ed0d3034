"""Every method of the registry on real models: exactly as many tokens as were chosen, or one sentence that says why not."""

from __future__ import annotations

import re

import pytest
import torch
from transformers import AutoProcessor

import analysis as an
from analysis.visual_tokens.policies import POLICIES, policy
from analysis.visual_tokens.positions import token_boxes
from analysis.visual_tokens.shipped.folder import FOLDER, open_folder
from analysis.visual_tokens.shipped.words import IMAGE
from analysis.visual_tokens.view import view_before
from tests.tiny_models.vision import FAMILIES, build_vision, image_processor, vision_inputs

NO_CROPS, NO_TEXT_TOWER, NO_CLASS, NO_PROJECTOR = (
    "without crops",
    "no text tower",
    "no class token",
    "cannot be",
)
CLASS_METHODS = {"visionzip", "mustdrop", "flowcut", "correlation_guided", "hired", "globalcom2"}


def refused(family: str) -> dict[str, str]:
    """Names of the methods that a model of a family cannot run, with words of the reason."""
    found = {"cdpruner": NO_TEXT_TOWER}
    if family in ("llava_next", "llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "gemma3"):
        found["zeroth_order"] = NO_PROJECTOR
    if family not in ("llava", "llava_next", "internvl"):
        found |= dict.fromkeys(CLASS_METHODS, NO_CLASS)
    if family not in ("llava_next", "llava_onevision", "idefics3", "smolvlm", "internvl"):
        found |= dict.fromkeys(("hired", "globalcom2"), NO_CROPS)
    return found


def run_all(view, cannot: dict[str, str]) -> None:
    for name in POLICIES:
        method = policy(name)
        reason = method.unsupported(view)
        if name in cannot:
            assert re.fullmatch(r"[A-Z][^.]*\.", reason) and cannot[name] in reason, (name, reason)
            with pytest.raises(an.AnalysisError, match=re.escape(reason)):
                method.choose(view, 4)
            continue
        assert not reason, (name, reason)
        n = 0 if name == "drop_all" else 4
        if method.refuses(view, n):
            assert name == "downsampling"
            n = next(k for k in range(len(view), 0, -1) if not method.refuses(view, k))
        choice = method.choose(view, n)
        assert len(choice.kept) == n == len(choice.kept.unique()) and choice.n == len(view)
        for stage in choice.stages:
            assert stage.mixed(view.features).isfinite().all()
        assert (choice.goes_into >= 0).sum() >= n


@pytest.mark.parametrize("family", FAMILIES)
def test_every_method_runs_or_says_why_not(family):
    model, picture = build_vision(family), an.scene(4).image.resize((128, 80))
    inputs = vision_inputs(family, model, picture)
    boxes = token_boxes(model, image_processor(family), picture.size, inputs)
    with torch.no_grad():
        run_all(view_before(model, inputs, boxes), refused(family))


@pytest.mark.skipif(not (FOLDER / "config.json").exists(), reason="the shipped model's folder is not there")
def test_every_method_on_the_shipped_model():
    """All but those that need crops or a text tower, at a quarter and at three of four tokens."""
    model, processor = open_folder(), AutoProcessor.from_pretrained(FOLDER, local_files_only=True)
    scene = an.scene(3)
    inputs = processor(images=scene.image, text=IMAGE + scene.questions[0].text, return_tensors="pt")
    inputs = {k: v for k, v in inputs.items() if k != "attention_mask"}
    boxes = token_boxes(model, processor.image_processor, scene.image.size, inputs)
    view = view_before(model, inputs, boxes)
    cannot = refused("llava")
    assert set(cannot) == {"cdpruner", "hired", "globalcom2"} and len(view) == 144
    run_all(view, cannot)
    for name in set(POLICIES) - set(cannot) - {"drop_all"}:
        for n in (36, 16):
            assert len(policy(name).choose(view, n).kept) == n
    weights = view.tower_attention.sum(2)  # what is left goes to the class token
    assert float(weights.min()) > 0 and float(weights.max()) < 1
