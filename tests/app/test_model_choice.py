"""The choice of a model offers what a folder holds, and says what should be known about a model and a text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app import state
from app.widgets.model_choice import ADAPTED
from tests.app.conftest import text_field
from tests.app.test_pages import press_run, result
from tests.tiny_models.families import save_tiny

TEXT = "The cat sat on the mat and looked at the rain."


@pytest.fixture
def lora(tmp_path, tiny_folder):
    """An adapter written by hand, as peft saves it."""
    folder = tmp_path / "lora"
    folder.mkdir()
    config = {
        "base_model_name_or_path": str(tiny_folder("llama")),
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    weights = {}
    for layer in range(2):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{name}.lora_A.weight"] = torch.randn(2, 64, generator=torch.Generator().manual_seed(layer))
        weights[f"{name}.lora_B.weight"] = torch.randn(64, 2, generator=torch.Generator().manual_seed(layer))
    save_file(weights, folder / "adapter_model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture
def both(tmp_path, tiny_folder, lora):
    folder = Path(shutil.copytree(tiny_folder("llama"), tmp_path / "both"))
    for file in lora.iterdir():
        shutil.copy(file, folder)
    return folder


def test_a_model_with_an_adapter_beside_it_offers_both(open_page, finish, loads, both):
    pytest.importorskip("peft")
    at = open_page("token_entropy", from_="folder", model=f' "{both}" ')
    assert at.selectbox(key=state.ADAPTER).value == "base"
    at = finish(press_run(at))
    assert not at.exception and not at.error
    assert loads[-1].adapter is None and any("not applied" in caption.value for caption in at.caption)
    plain = result(at)
    at = finish(press_run(at.selectbox(key=state.ADAPTER).set_value(ADAPTED).run()))
    assert not at.exception and not at.error
    assert loads[-1].adapter == f"{both}/" == loads[-1].source
    merged = result(at)
    assert merged.spec.adapter == f"{both}/" and merged.spec.model == "both + both"
    assert (merged.tokens.surprisal[1:] != plain.tokens.surprisal[1:]).any()
    assert any("is merged" in caption.value.replace("\\", "") for caption in at.caption)


@pytest.mark.parametrize("typed", ["", "its own"])
def test_an_adapter_alone_asks_for_its_base(open_page, finish, loads, lora, tiny_folder, tmp_path, typed):
    pytest.importorskip("peft")
    at = open_page("token_entropy", from_="folder", model=str(lora))
    assert at.text_input(key=state.BASE).placeholder == str(tiny_folder("llama"))
    base = str(tiny_folder("llama"))
    if typed:
        base = str(save_tiny("llama", tmp_path / "other", seed=7))
        at = at.text_input(key=state.BASE).set_value(f"'{base}'").run()
    at = finish(press_run(at))
    assert not at.exception and not at.error
    assert (loads[-1].source, loads[-1].adapter) == (base, f"{lora}/")
    assert result(at).spec.source == base


def test_folders_without_adapters_offer_nothing(open_page, tiny_folder, tmp_path):
    for where in (str(tiny_folder("llama")), f"{tmp_path}/nowhere", "\0", "~nobody-here"):
        at = open_page("overview", from_="folder", model=where)
        assert not at.exception
        assert state.ADAPTER not in {box.key for box in at.selectbox}
        assert state.BASE not in {box.key for box in at.text_input}


def test_a_link_with_an_adapter_does_not_start_by_itself(open_page, loads, submitted, lora):
    at = open_page("overview", from_="folder", model=str(lora), base="embedded")
    assert not at.exception and loads == [] and submitted == []


def test_a_note_about_the_text_stands_on_the_page(open_page, finish, tmp_path):
    folder = str(save_tiny("llama", tmp_path / "adding", add_bos=True))
    at = open_page("token_entropy", from_="folder", model=folder)
    at = finish(press_run(text_field(at, state.TEXT).set_value("<s>" + TEXT).run()))
    assert not at.exception and not at.error
    said = [caption.value.replace("\\", "") for caption in at.main.caption]
    assert sum("The text begins with <s> itself" in text for text in said) == 1
    assert result(at).tokens.text.count("<s>") == 1


@pytest.mark.parametrize("ends", ["\r\n", "\n", "\r"])
def test_an_uploaded_text_keeps_its_line_ends(open_page, finish, ends):
    text = f"one{ends}two{ends}"
    at = open_page("token_entropy")
    box = next(box for box in at.file_uploader if box.key == "text_file")
    at = box.set_value([("text.txt", b"\xef\xbb\xbf" + text.encode(), "text/plain")]).run()
    assert not at.exception and text_field(at, state.TEXT).value == text
    assert at.query_params[state.EXAMPLE] == "own text"
    at = finish(press_run(at))
    assert not at.exception and not at.error and result(at).text == text


def test_an_uploaded_text_of_another_encoding_is_told(open_page):
    at = open_page("token_entropy")
    before = text_field(at, state.TEXT).value
    box = next(box for box in at.file_uploader if box.key == "text_file")
    at = box.set_value([("text.txt", b"caf\xe9", "text/plain")]).run()
    assert not at.exception and len(at.error) == 1 and "UTF" in at.error[0].value
    assert text_field(at, state.TEXT).value == before
