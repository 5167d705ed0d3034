"""Loading vision-language models, their input for a question, and that nothing of an answer outlives it."""

from __future__ import annotations

import gc
import json
import weakref

import pytest
import torch

import analysis as an
from analysis.errors import (
    AnalysisError,
    BrokenFileError,
    ModelNotFoundError,
    TooLongError,
    UnsupportedModelError,
)
from analysis.models.attention_choice import attention_name
from analysis.visual_tokens.parts import image_token_id, language_part
from analysis.visual_tokens.shipped.build import build_model, save_folder
from tests.tiny_models.vision_model import QUESTION, tiny_vision_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The shipped model's parts with random weights, saved."""
    path = tmp_path_factory.mktemp("model")
    save_folder(build_model(), path)
    return path


def changed(folder, path, **settings):
    """The folder once more, with other settings of its configuration."""
    for file in folder.iterdir():
        (path / file.name).symlink_to(file)
    config = json.loads((folder / "config.json").read_text())
    (path / "config.json").unlink()
    (path / "config.json").write_text(json.dumps(config | settings))
    return f"{path}/"


def test_a_folder_is_loaded_and_asked(folder):
    vlm = an.load_vision_model(f"{folder}/", device="cpu")
    assert vlm.info.family == "llava" and vlm.info.dtype == "float32" and vlm.info.n_layers == 8
    assert vlm.model.dtype == torch.float32 and not any(p.requires_grad for p in vlm.model.parameters())
    one = an.scene(3)
    prepared = vlm.prepare(one.image, one.questions[0].text)
    assert prepared.text == f"<image>{one.questions[0].text}" and len(prepared.boxes) == 144
    assert prepared.inputs["input_ids"][0, 1:145].eq(image_token_id(vlm.model)).all()
    assert prepared.n_prompt == 145 + len(vlm.answer_ids(one.questions[0].text))
    answer = an.ask(vlm, one.image, one.questions[0].text, max_new=2)
    assert answer.spec.n_visual == 144 and answer.picture.width == one.image.width
    assert all(check.passed for check in answer.checks)


def test_in_16_bits_too(folder):
    vlm = an.load_vision_model(f"{folder}/", device="cpu", dtype="bfloat16")
    answer = an.ask(vlm, an.scene(3).image, "how many shapes?", max_new=1)
    assert answer.spec.dtype == "bfloat16" and answer.looking.mean.dtype == "float32"
    assert all(check.passed for check in answer.checks)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "gpt2"}, "family gpt2, whose visual tokens are not known"),
        ({"vision_config": {"model_type": "pixtral"}}, "has a Pixtral tower"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            "bitsandbytes|quantised",
        ),
    ],
)
def test_what_is_not_known_is_refused_before_its_weights_are_read(folder, tmp_path, settings, message):
    with pytest.raises(AnalysisError, match=message):
        an.load_vision_model(changed(folder, tmp_path, **settings), device="cpu")


def test_pan_and_scan_is_refused(folder, tmp_path):
    from transformers import AutoProcessor

    source = changed(folder, tmp_path)
    processor = AutoProcessor.from_pretrained(folder)
    processor.image_processor.do_pan_and_scan = True
    for file in tmp_path.glob("processor_config.json"):
        file.unlink()
    processor.save_pretrained(tmp_path / "new")
    (tmp_path / "new" / "processor_config.json").rename(tmp_path / "processor_config.json")
    with pytest.raises(UnsupportedModelError, match="pan and scan"):
        an.load_vision_model(source, device="cpu")


def test_other_sources_are_refused(folder, tmp_path):
    with pytest.raises(ModelNotFoundError, match="There is no model in"):
        an.load_vision_model(f"{tmp_path}/")
    with pytest.raises(UnsupportedModelError, match="gguf"):
        an.load_vision_model("a.gguf")
    with pytest.raises(AnalysisError, match="without an adapter"):
        an.load_vision_model(an.ModelSpec(f"{folder}/", adapter="x/y"))
    (tmp_path / "cut").mkdir()
    source = changed(folder, tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").unlink()
    (tmp_path / "cut" / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:9000])
    with pytest.raises(BrokenFileError):
        an.load_vision_model(source, device="cpu")


def test_questions_that_cannot_be():
    vlm, image = tiny_vision_model("llava"), an.scene(4).image
    for question, kind, message in (
        ("  ", AnalysisError, "no text"),
        ("w0 <image>", AnalysisError, "the image's own place"),
        (" ".join(["w1"] * 1010), TooLongError, "reads at most 1,024"),
        (" ".join(["w1"] * 1005), TooLongError, "fill the 1,024 tokens"),
    ):
        with pytest.raises(kind, match=message):
            an.ask(vlm, image, question)
    with pytest.raises(AnalysisError, match="at least one token"):
        an.ask(vlm, image, QUESTION, max_new=0)
    with pytest.raises(AnalysisError, match=r"damaged or cut off|not a picture"):
        an.ask(vlm, b"no picture", QUESTION)


def test_an_answer_ends_before_the_context_does():
    """16 visual tokens, 3 others and 1,004 words leave one position."""
    answer = an.ask(tiny_vision_model("llava"), an.scene(4).image, " ".join(["w1"] * 1004), max_new=9)
    assert answer.spec.n_prompt == 1023 and len(answer.tokens) == 1


def test_the_images_id_ends_an_answer():
    vlm = tiny_vision_model("llava")
    head = vlm.model.lm_head
    at_end = {}
    with torch.no_grad():
        handle = head.register_forward_pre_hook(lambda _module, given: at_end.update(state=given[0]))
        vlm.model(**vlm.prepare(an.scene(4).image, QUESTION).inputs, logits_to_keep=1)
        handle.remove()
        head.weight[image_token_id(vlm.model)] = 100 * at_end["state"][0, -1]
    answer = an.ask(vlm, an.scene(4).image, QUESTION)
    assert answer.tokens.token_id.tolist() == [image_token_id(vlm.model)] and answer.text == ""


def test_progress_goes_up_and_stops_an_answer():
    vlm, seen = tiny_vision_model("gemma3"), []
    an.ask(
        vlm,
        an.scene(4).image,
        QUESTION,
        max_new=2,
        on_progress=lambda share, what: seen.append((share, what)),
    )
    shares = [share for share, _ in seen]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1 and (0.4, "layer 4 of 4") in seen

    def stop(share: float, _what: str) -> None:
        if share > 0.2:
            raise an.Cancelled

    with pytest.raises(an.Cancelled):
        an.ask(vlm, an.scene(4).image, QUESTION, on_progress=stop)
    assert attention_name(language_part(vlm.model)) == "sdpa"
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in vlm.model.modules())


def test_nothing_of_an_answer_outlives_it():
    vlm = tiny_vision_model("qwen3_vl")
    answer = an.ask(vlm, an.scene(4).image, QUESTION, max_new=2)
    gone = weakref.ref(vlm.model)
    del vlm
    gc.collect()
    assert gone() is None and answer.text is not None
