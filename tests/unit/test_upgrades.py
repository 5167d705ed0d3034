"""What the house uses of its libraries though they do not promise it: there, and doing what it did.

Where one of these fails after an upgrade, the sentence says what is gone, and where it is used.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.metadata import version

import numpy as np
import pytest
import torch
from torch import nn

from analysis.models import library_parts, linear
from analysis.models.attention_choice import ATTRIBUTE, attends_eagerly, attention_choice
from tests.tiny_models.unusual import unusual_model

SEEN = {"transformers": "5.23.0", "accelerate": "1.15.0", "torch": "2.13.0", "numpy": "2.4.6"}
"""Versions in which everything below was there."""


def gone(package: str, name: str, user: str) -> str:
    return f"{name} was in {package} {SEEN[package]} and is not in {version(package)}: see analysis/models/{user}.py"


def test_numpy_gives_eigenvalues_in_float32():
    function = library_parts.float32_eigenvalues()
    assert function is not None, gone("numpy", "numpy.linalg._umath_linalg.eigvalsh_lo", "library_parts")
    values = function(np.diag([3.0, 1.0, 2.0]).astype(np.float32))
    assert values.dtype == np.float32 and values.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("package", "module", "name"),
    [
        ("transformers", "transformers.masking_utils", "eager_mask"),
        ("transformers", "transformers.masking_utils", "sdpa_mask"),
        ("transformers", "transformers.vision_utils", "get_vision_window_index"),
        ("transformers", "transformers.integrations.sdpa_attention", "sdpa_attention_forward"),
        ("transformers", "transformers.integrations.accelerate", "load_offloaded_parameter"),
        (
            "transformers",
            "transformers.integrations.gguf.gguf_tokenizer_mapping",
            "GGUF_PRE_TOKENIZER_SPLITS",
        ),
        ("transformers", "transformers.pytorch_utils", "Conv1D"),
        ("transformers", "transformers.image_processing_utils", "select_best_resolution"),
        (
            "transformers",
            "transformers.models.got_ocr2.image_processing_pil_got_ocr2",
            "get_optimal_tiled_canvas",
        ),
        ("transformers", "transformers.quantizers.auto", "AUTO_QUANTIZATION_CONFIG_MAPPING"),
    ],
)
def test_the_parts_are_where_they_were(package, module, name):
    try:
        found = hasattr(import_module(module), name)
    except ImportError:
        found = False
    assert found, gone(package, f"{module}.{name}", "library_parts")
    assert f"from {module} import {name}" in inspect.getsource(library_parts)


def test_features_are_added_between_layers_by_a_function_that_can_be_wrapped():
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

    name = "_deepstack_process"
    assert hasattr(Qwen3VLTextModel, name), gone("transformers", f"Qwen3VLTextModel.{name}", "library_parts")
    part = object.__new__(Qwen3VLTextModel)
    nn.Module.__init__(part)
    with library_parts.features_added_by(part, lambda _: "wrapped"):
        assert getattr(part, name) == "wrapped"
    assert name not in vars(part), "the class's own is back"


@pytest.mark.parametrize("name", ["_keep_in_fp32_modules", "_keep_in_fp32_modules_strict"])
def test_a_model_says_what_stays_in_float32(name):
    from transformers import PreTrainedModel, T5ForConditionalGeneration

    assert hasattr(PreTrainedModel, name), gone("transformers", f"PreTrainedModel.{name}", "library_parts")
    assert library_parts.kept_in_float32(T5ForConditionalGeneration) == ["wo"]


def test_accelerate_keeps_what_it_needs_where_it_did():
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    module = nn.Linear(2, 2)
    assert not library_parts.is_brought_in(module) and library_parts.forward_name(module) == "forward"
    add_hook_to_module(module, AlignDevicesHook(execution_device="cpu"))
    assert library_parts.is_brought_in(module), gone("accelerate", "Module._hf_hook", "library_parts")
    assert callable(getattr(module, library_parts.forward_name(module), None)), gone(
        "accelerate", "Module._old_forward", "library_parts"
    )
    assert module._hf_hook.execution_device is not None


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_choice_of_attention_is_the_librarys_and_comes_back(load_tiny, family):
    model = load_tiny(family).model
    assert hasattr(model.config, ATTRIBUTE), gone("transformers", f"config.{ATTRIBUTE}", "attention_choice")
    before = getattr(model.config, ATTRIBUTE)
    wanted = "sdpa" if before == "eager" else "eager"
    with pytest.raises(RuntimeError, match="stop"), attention_choice(model, wanted):
        assert attends_eagerly(model) == (wanted == "eager")
        maps = model(torch.ones(1, 4, dtype=torch.int64), output_attentions=wanted == "eager").attentions
        assert (maps is not None) == (wanted == "eager")
        raise RuntimeError("stop")
    assert getattr(model.config, ATTRIBUTE) == before


def test_a_model_that_the_library_leaves_alone_changes_too_and_nothing_is_said(capfd):
    model = unusual_model("falcon")
    before = getattr(model.config, ATTRIBUTE)
    assert before != "eager", "the test needs one that is not eager yet"
    with attention_choice(model, "eager"):
        assert attends_eagerly(model)
    assert getattr(model.config, ATTRIBUTE) == before
    assert "does not support" not in capfd.readouterr().err
    model.set_attn_implementation("eager")
    assert not attends_eagerly(model), "a library that changes it no longer needs the attribute for it"


# The product of oneDNN --------------------------------------------------------------------------------


@pytest.fixture
def fresh():
    """A process that has not tried the product yet."""
    linear.onednn_serves.cache_clear()
    yield
    linear.onednn_serves.cache_clear()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch is built without oneDNN")
def test_onednn_serves_here(fresh):
    assert linear.onednn_serves(), gone("torch", "torch.ops.mkldnn._linear_pointwise", "linear")


def _gone(*_arguments):
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")


def _other_arguments(*_arguments):
    raise RuntimeError("mkldnn::_linear_pointwise() is missing value for argument 'algorithm'")


def _without_bias(states, weight, _bias):
    return states @ weight.T


def _one_value_wrong(states, weight, bias):
    product = nn.functional.linear(states, weight, bias)
    product[-1, -1, -1] += 1e-2
    return product


def _not_a_number(states, weight, bias):
    return torch.full_like(nn.functional.linear(states, weight, bias), torch.nan)


def _turned(states, weight, bias):
    return nn.functional.linear(states, weight, bias).transpose(0, 1)


@pytest.mark.parametrize(
    "product", [_gone, _other_arguments, _without_bias, _one_value_wrong, _not_a_number, _turned]
)
def test_a_product_that_is_gone_or_wrong_gives_way_to_the_plain_one(fresh, monkeypatch, product):
    tried = []

    def broken(*arguments):
        tried.append(arguments)
        return product(*arguments)

    monkeypatch.setattr(linear, "_onednn", broken)
    states, weight, bias = torch.randn(4, 6), torch.randn(8, 6), torch.randn(8)
    with torch.no_grad():
        first = linear.linear(states, weight, bias)
        n = len(tried)
        assert n and torch.equal(first, nn.functional.linear(states, weight, bias))
        linear.linear(states, weight, bias)
    assert len(tried) == n, "tried once for the whole process"


def test_where_oneDNN_is_not_built_in_nothing_is_tried(fresh, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(linear, "_onednn", _other_arguments)
    assert not linear.onednn_serves()
