"""The shipped vision-language model's parts: tokens, processor, configuration, and the folder they make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

import analysis as an
from analysis.visual_tokens.shipped.build import (
    N_VISUAL,
    build_model,
    build_processor,
    save_folder,
)
from analysis.visual_tokens.shipped.packing import pixels_of
from analysis.visual_tokens.shipped.words import build_tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vlm")
    model = build_model(3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    save_folder(model, folder)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    return folder, model


def test_every_question_is_read_and_written_back_whole():
    tokenizer = build_tokenizer()
    for seed in range(150):
        for q in an.scene(seed).questions:
            for text in (q.text, q.answer):
                ids = tokenizer.encode(text, add_special_tokens=False)
                assert tokenizer.unk_token_id not in ids, text
                assert tokenizer.decode(ids) == text
            assert len(tokenizer.encode(q.answer, add_special_tokens=False)) <= 2


def test_tokens():
    tokenizer = build_tokenizer()
    assert tokenizer.tokenize("How many  red shapes?") == ["▁how", "▁many", "▁red", "▁shapes", "?"]
    assert tokenizer.tokenize("47") == ["▁4", "7"]
    assert tokenizer.tokenize("where is the zebra?")[3] == "<unk>"
    assert tokenizer.encode("red") == [1, *tokenizer.encode("red", add_special_tokens=False)]


def test_the_processor_hands_over_what_was_trained_on():
    """144 places for the image, and pixels as the training makes them."""
    s = an.scene(5)
    inputs = build_processor()(images=s.image, text="<image> which colour leads?", return_tensors="pt")
    ids = inputs["input_ids"][0].tolist()
    tokenizer = build_tokenizer()
    image = tokenizer.convert_tokens_to_ids("<image>")
    assert ids == [1, *[image] * N_VISUAL, *tokenizer.encode("which colour leads?", add_special_tokens=False)]
    assert torch.allclose(inputs["pixel_values"], pixels_of([s]), atol=1e-6)


def test_a_saved_folder_opens_without_the_network(saved):
    folder, model = saved
    again = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    assert type(again).__name__ == "LlavaForConditionalGeneration"
    s = an.scene(11)
    inputs = processor(images=s.image, text="<image> how many shapes?", return_tensors="pt")
    own = build_processor()(images=s.image, text="<image> how many shapes?", return_tensors="pt")
    assert inputs["input_ids"].tolist() == own["input_ids"].tolist()
    assert torch.equal(inputs["pixel_values"], own["pixel_values"])
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.half().float()), name
    with torch.no_grad():
        logits = again(**inputs).logits
    assert logits.shape[1] == inputs["input_ids"].shape[1] and np.isfinite(logits.numpy()).all()


def test_size_of_the_model(saved):
    folder, model = saved
    n = sum(p.numel() for p in model.parameters())
    assert 2.3e6 < n < 2.5e6
    files = {p.name: p.stat().st_size for p in folder.iterdir()}
    assert 2 * n < files.pop("model.safetensors") < 5e6
    assert sum(files.values()) < 50_000, files


def test_the_image_is_seen(saved):
    _, model = saved
    processor = build_processor()
    with torch.no_grad():
        a, b = (
            model(
                **processor(images=an.scene(i).image, text="<image> how many shapes?", return_tensors="pt")
            ).logits
            for i in (1, 2)
        )
    assert (a[0, -1] - b[0, -1]).abs().max() > 1e-3
