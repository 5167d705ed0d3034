"""Reward models, classifiers and encoders are refused by what they say of themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

import analysis as an
from analysis.errors import UnsupportedModelError
from tests.tiny_models.families import save_tiny, tiny_config
from tests.tiny_models.tokenizer import byte_tokenizer


def save(model, folder: Path) -> Path:
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(UnsupportedModelError) as caught:
        an.load_model(str(folder))
    assert "causal language model" in str(caught.value) and "\n" not in str(caught.value)
    return caught.value.message


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize(
    "kind", [AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoModel]
)
def test_other_heads_on_the_same_body(tmp_path, family, kind, tied):
    """With tied embeddings all weights of a language model are there."""
    torch.manual_seed(0)
    config = tiny_config(family, tie_word_embeddings=tied, num_labels=1)
    model = kind.from_config(config)
    assert type(model).__name__ in refused(save(model, tmp_path / "m"))


@pytest.mark.parametrize(
    "key", ["score.weight", "v_head.summary.weight", "classifier.weight", "value_head.weight"]
)
@pytest.mark.parametrize("architectures", [["LlamaForCausalLM"], None, []])
def test_a_head_that_only_the_files_tell_of(tmp_path, key, architectures):
    folder = save_tiny("llama", tmp_path / "m", tie_word_embeddings=True)
    weights = load_file(folder / "model.safetensors") | {key: torch.ones(1, 64)}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | {"architectures": architectures}
    (folder / "config.json").write_text(json.dumps(config))
    assert key in refused(folder)


@pytest.mark.parametrize(
    "architectures", [None, [], ["LlamaForCausalLM"], ["SomethingElse", "LlamaForCausalLM"]]
)
def test_language_models_stay_what_they_are(tmp_path, architectures):
    folder = Path(shutil.copytree(save_tiny("llama", tmp_path / "m"), tmp_path / "n"))
    config = json.loads((folder / "config.json").read_text()) | {"architectures": architectures}
    (folder / "config.json").write_text(json.dumps(config))
    assert an.load_model(str(folder)).info.family == "llama"


def test_the_weights_are_not_read_for_it(tmp_path):
    folder = save_tiny("llama", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text()) | {"architectures": ["LlamaForRewardModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"not weights")
    assert "LlamaForRewardModel" in refused(folder)
    assert AutoConfig.from_pretrained(folder).model_type == "llama"
