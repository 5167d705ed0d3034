"""Quantised checkpoints: expanded to what their files say, or refused by the name of what is missing."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import analysis as an
from analysis.errors import AnalysisError, BrokenFileError, ModelNotFoundError, UnsupportedModelError
from analysis.models import quantised
from tests.tiny_models.families import save_tiny
from tests.tiny_models.tokenizer import byte_tokenizer

ROUNDING = 32 * 2**-23 * 30  # of two float32 routes to logits below 30
TEXT = "The cat sat on the mat and looked at the rain."


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    size = {"hidden_size": 128, "intermediate_size": 256}
    return save_tiny("llama", tmp_path_factory.mktemp("base") / "llama", seed=5, **size)


def is_matrix(name: str) -> bool:
    return name.endswith("proj.weight") or ".experts." in name


def write(folder: Path, weights: dict[str, torch.Tensor], settings: dict | None) -> Path:
    save_file({n: w.contiguous() for n, w in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    if settings is not None:
        config["quantization_config"] = settings
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def float8_blocks(weight: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stored values, scales of blocks, and what both mean together."""
    rows, columns = (-(-side // size) for side in weight.shape)
    padded = torch.zeros(rows * size, columns * size)
    padded[: weight.shape[0], : weight.shape[1]] = weight
    blocks = padded.view(rows, size, columns, size)
    scale = blocks.abs().amax((1, 3)) / 448
    stored = (blocks / scale[:, None, :, None]).to(torch.float8_e4m3fn)
    meant = stored.float() * scale[:, None, :, None]
    cut = (slice(weight.shape[0]), slice(weight.shape[1]))
    return stored.view_as(padded)[cut].clone(), scale, meant.view_as(padded)[cut].clone()


def float8_folder(base: Path, folder: Path, size: int = 128) -> tuple[Path, dict[str, torch.Tensor]]:
    weights, stored, meant = load_file(base / "model.safetensors"), {}, {}
    for name, weight in weights.items():
        if is_matrix(name):
            stored[name], stored[f"{name}_scale_inv"], meant[name] = float8_blocks(weight, size)
        else:
            stored[name] = weight.bfloat16()  # as published checkpoints do
            meant[name] = stored[name].float()
    settings = {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "weight_block_size": [size, size],
    }
    return write(Path(shutil.copytree(base, folder)), stored, settings), meant


def plain_twin(base: Path, folder: Path, meant: dict[str, torch.Tensor]) -> an.LanguageModel:
    return an.load_model(str(write(Path(shutil.copytree(base, folder)), meant, None)))


def same_run(model: an.LanguageModel, plain: an.LanguageModel) -> None:
    ours, theirs = an.trace(model, TEXT), an.trace(plain, TEXT)
    assert np.nanmax(np.abs(ours.tokens.surprisal - theirs.tokens.surprisal)) <= ROUNDING
    assert ours.attention is not None and all(check.passed for check in ours.checks)


# Read by transformers alone ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [128, 64])
def test_float8_with_scales_of_blocks(base, tmp_path, size):
    folder, meant = float8_folder(base, tmp_path / "fp8", size)
    model = an.load_model(str(folder))
    same_run(model, plain_twin(base, tmp_path / "plain", meant))
    assert model.info.precision == "float8 weights, computed in float32"
    assert any("expanded" in note for note in model.info.notes)
    run = an.trace(model, TEXT)
    assert run.spec.weights == "float8" and "float8 weights in float32" in run.spec.subtitle
    sweep = an.sweep_eviction(model, TEXT, " It was noon.", policies=["knorm"], kept=[0.5])
    assert np.isfinite(sweep.to_frame().nll).all()


def test_float8_in_bfloat16(base, tmp_path):
    folder, _ = float8_folder(base, tmp_path / "fp8")
    model = an.load_model(str(folder), dtype="bfloat16")
    assert model.info.precision == "float8 weights, computed in bfloat16"
    assert {parameter.dtype for parameter in model.model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("inner", [192, 200])
def test_blocks_that_are_cut_off_are_not_stretched(tmp_path, inner):
    """192 rows in blocks of 128 have two scales; two blocks of 96 are not what they mean."""
    base = save_tiny("llama", tmp_path / "base", hidden_size=128, intermediate_size=inner)
    folder, _ = float8_folder(base, tmp_path / "fp8")
    assert "blocks" in refused(folder, UnsupportedModelError).message


def test_mxfp4_experts(tmp_path):
    """Two numbers of four bits in a byte, a power of two for every 32 of them."""
    base = save_tiny("gpt_oss", tmp_path / "base", hidden_size=64, intermediate_size=64)
    weights = load_file(base / "model.safetensors")
    values = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    values = torch.cat([values, -values])
    stored, meant = {}, {}
    generator = torch.Generator().manual_seed(0)
    for name, weight in weights.items():
        if not name.endswith(("gate_up_proj", "down_proj")):
            stored[name] = meant[name] = weight
            continue
        experts, inner, outer = weight.shape  # kept as (in, out); the blocks run along what is summed over
        codes = torch.randint(0, 16, (experts, outer, inner // 32, 32), generator=generator)
        powers = torch.randint(122, 126, (experts, outer, inner // 32), generator=generator)
        stored[f"{name}_blocks"] = (codes[..., 0::2] | codes[..., 1::2] << 4).to(torch.uint8)
        stored[f"{name}_scales"] = powers.to(torch.uint8)
        dense = values[codes] * 2.0 ** (powers - 127)[..., None]
        meant[name] = dense.view(experts, outer, inner).transpose(1, 2).contiguous()
    settings = {
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.embed_tokens", "lm_head"],
    }
    folder = write(Path(shutil.copytree(base, tmp_path / "mxfp4")), stored, settings)
    model = an.load_model(str(folder))
    assert model.info.precision == "MXFP4 weights, computed in float32"
    same_run(model, plain_twin(base, tmp_path / "plain", meant))


# Read by packages that are not part of the project ----------------------------------------------------


def needs(module: str) -> pytest.MarkDecorator:
    there = importlib.util.find_spec(module) is not None
    return pytest.mark.skipif(not there, reason=f"the package of {module} is not installed")


@pytest.mark.optional
@needs("compressed_tensors")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "bits", "strategy", "symmetric", "words"),
    [
        ("int", 8, "channel", True, "8-bit"),
        ("float", 8, "channel", True, "float8"),
        ("float", 8, "tensor", True, "float8"),
        ("int", 4, "group", True, "4-bit"),
        ("int", 4, "group", False, "4-bit"),
    ],
)
def test_compressed_tensors(base, tmp_path, kind, bits, strategy, symmetric, words):
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import (
        QuantizationArgs,
        QuantizationConfig,
        QuantizationScheme,
        apply_quantization_config,
        fake_quantize,
    )
    from compressed_tensors.quantization.utils import calculate_qparams

    group = {"group_size": 64} if strategy == "group" else {}
    rule = QuantizationArgs(num_bits=bits, type=kind, strategy=strategy, symmetric=symmetric, **group)
    rounding = QuantizationArgs(num_bits=8, type=kind, strategy="token", dynamic=True) if bits == 8 else None
    scheme = QuantizationScheme(targets=["Linear"], weights=rule, input_activations=rounding)
    layout = {("int", 8): "int-quantized", ("float", 8): "float-quantized"}.get(
        (kind, bits), "pack-quantized"
    )
    settings = QuantizationConfig(
        config_groups={"group_0": scheme}, ignore=["lm_head"], format=layout, quantization_status="frozen"
    )
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    apply_quantization_config(model, settings)
    meant = load_file(base / "model.safetensors")
    for name, layer in model.named_modules():
        if hasattr(layer, "quantization_scheme"):
            weight = layer.weight.data
            grouped = weight.view(len(weight), -1, 64) if group else weight
            ends = (
                (grouped.amin(-1), grouped.amax(-1))
                if group
                else (grouped.amin(1, True), grouped.amax(1, True))
            )
            if strategy == "tensor":
                ends = weight.min().view(1), weight.max().view(1)
            scale, zero = calculate_qparams(*ends, rule)
            layer.weight_scale.data = scale.to(layer.weight_scale.dtype)
            if hasattr(layer, "weight_zero_point"):
                layer.weight_zero_point.data = zero.to(layer.weight_zero_point.dtype)
            meant[f"{name}.weight"] = fake_quantize(weight, scale, zero, rule).detach().clone()
    compressor = ModelCompressor(quantization_config=settings)
    compressor.compress_model(model)
    model.save_pretrained(tmp_path / "packed")
    compressor.update_config(tmp_path / "packed")
    byte_tokenizer().save_pretrained(tmp_path / "packed")
    loaded = an.load_model(str(tmp_path / "packed"))
    assert loaded.info.precision == f"{words} weights, computed in float32"
    same_run(loaded, plain_twin(base, tmp_path / "plain", meant))


@pytest.mark.optional
@needs("bitsandbytes")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"load_in_8bit": True}, "8-bit"),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "4-bit (nf4)"),
        (
            {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": True},
            "4-bit (fp4)",
        ),
    ],
)
def test_bitsandbytes(base, tmp_path, settings, words):
    from transformers import BitsAndBytesConfig

    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, quantization_config=BitsAndBytesConfig(**settings)
    )
    model.save_pretrained(tmp_path / "packed")
    byte_tokenizer().save_pretrained(tmp_path / "packed")
    original = load_file(base / "model.safetensors")
    loaded = an.load_model(str(tmp_path / "packed"))
    assert loaded.info.precision == f"{words} weights, computed in float32"
    share = 0.02 if "8bit" in str(settings) else 0.2
    for name, weight in loaded.model.named_parameters():
        assert weight.dtype == torch.float32
        error = (weight - original[name]).norm() / original[name].norm()
        assert (0 < error < share) if is_matrix(name) else error == 0, name
    same_run(loaded, plain_twin(base, tmp_path / "plain", dict(loaded.model.named_parameters())))


@pytest.mark.optional
@needs("torchao")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "words"), [("Int8WeightOnlyConfig", "8-bit"), ("Float8WeightOnlyConfig", "float8")]
)
def test_torchao(base, tmp_path, kind, words):
    import torchao.quantization
    from transformers import TorchAoConfig

    rule = TorchAoConfig(getattr(torchao.quantization, kind)())
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, quantization_config=rule)
    model.save_pretrained(tmp_path / "packed")
    byte_tokenizer().save_pretrained(tmp_path / "packed")
    meant = load_file(base / "model.safetensors")
    for name, weight in model.named_parameters():
        if is_matrix(name):
            meant[name] = weight.dequantize().float()
    loaded = an.load_model(str(tmp_path / "packed"))
    assert loaded.info.precision == f"{words} weights, computed in float32"
    same_run(loaded, plain_twin(base, tmp_path / "plain", meant))


# Refused ----------------------------------------------------------------------------------------------


def refused(folder: Path, kind: type[AnalysisError]) -> AnalysisError:
    with pytest.raises(kind) as caught:
        an.load_model(str(folder))
    assert "\n" not in str(caught.value) and len(caught.value.message) < 300
    return caught.value


@pytest.mark.parametrize(
    ("settings", "package"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"}, "gptqmodel"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "gptqmodel"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "compressed-tensors"),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, "torchao"),
        ({"quant_method": "quanto", "weights": "int8"}, "optimum-quanto"),
        ({"quant_method": "hqq", "nbits": 4}, "hqq"),
        ({"quant_method": "aqlm"}, "aqlm"),
        ({"quant_method": "auto-round", "bits": 4}, "auto-round"),
    ],
)
def test_a_package_that_is_missing_is_named(base, tmp_path, monkeypatch, settings, package):
    monkeypatch.setattr(quantised, "find_spec", lambda _module: None)
    folder = write(
        Path(shutil.copytree(base, tmp_path / "m")), load_file(base / "model.safetensors"), settings
    )
    error = refused(folder, ModelNotFoundError)
    assert package in error.message and f"pip install {package}" in error.hint.replace("optimum ", "")
    assert ".gguf" in error.hint


@pytest.mark.parametrize("method", ["vptq", "eetq", "fbgemm_fp8"])
def test_methods_that_need_a_gpu(base, tmp_path, monkeypatch, method):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    weights = load_file(base / "model.safetensors")
    folder = write(Path(shutil.copytree(base, tmp_path / "m")), weights, {"quant_method": method})
    assert "CUDA" in refused(folder, UnsupportedModelError).message


@pytest.mark.parametrize("method", ["no-such-method", None])
def test_a_method_that_nobody_knows(base, tmp_path, method):
    """transformers warns and reads the stored numbers as if they were weights."""
    stored = {
        name: (weight / weight.abs().max() * 127).to(torch.int8) if is_matrix(name) else weight
        for name, weight in load_file(base / "model.safetensors").items()
    }
    settings = None if method is None else {"quant_method": method}
    folder = write(Path(shutil.copytree(base, tmp_path / "m")), stored, settings)
    refused(folder, BrokenFileError if method is None else UnsupportedModelError)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8, torch.uint8])
def test_one_weight_without_its_scale_is_found(base, tmp_path, dtype):
    weights = load_file(base / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    weights[name] = (weights[name] * 3).to(dtype)
    error = refused(write(Path(shutil.copytree(base, tmp_path / "m")), weights, None), BrokenFileError)
    assert name in error.message


def test_one_scale_that_is_missing_is_found(base, tmp_path):
    """The library would pass the stored numbers on as they are."""
    folder, _ = float8_folder(base, tmp_path / "fp8")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight_scale_inv"]
    error = refused(write(folder, weights, None), BrokenFileError)
    assert "model.layers.1.mlp.up_proj.weight" in error.message


def test_a_scale_that_nothing_uses_is_found(base, tmp_path):
    """Weights that were widened but not scaled back: nothing but the scale tells."""
    weights = load_file(base / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight_scale"] = torch.ones(256, 1)
    error = refused(write(Path(shutil.copytree(base, tmp_path / "m")), weights, None), BrokenFileError)
    assert "weight_scale" in error.message


def test_integers_that_are_no_weights_do_no_harm(base, tmp_path):
    weights = load_file(base / "model.safetensors")
    weights["model.layers.0.self_attn.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    weights["model.layers.0.self_attn.k_proj.k_scale"] = torch.ones(1)
    weights["model.position_ids"] = torch.arange(8)[None]
    folder = write(Path(shutil.copytree(base, tmp_path / "m")), weights, None)
    assert an.load_model(str(folder)).info.weights == ""


# Unpacked here ----------------------------------------------------------------------------------------


def words_of(values: np.ndarray, bits: int) -> np.ndarray:
    """One long number per row, cut into words of 32 bits: the first value in the lowest bits."""
    rows = []
    for row in values:
        whole = sum(int(value) << (bits * i) for i, value in enumerate(row))
        count = len(row) * bits // 32
        rows.append([(whole >> (32 * i)) & 0xFFFFFFFF for i in range(count)])
    return np.array(rows, np.uint32).view(np.int32)


def packed_folder(base, folder, method, bits, *, group=32, order=False, settings=None):
    """Random integers, scales and zero points for every projection, and the weights that they mean."""
    rng = np.random.default_rng(bits)
    stored, meant = {}, {}
    for name, weight in load_file(base / "model.safetensors").items():
        if not is_matrix(name):
            stored[name] = meant[name] = weight
            continue
        n_out, n_in = weight.shape
        values, zeros = (
            rng.integers(0, 2**bits, (n_in, n_out)),
            rng.integers(1, 2**bits, (n_in // group, n_out)),
        )
        scales = torch.from_numpy(
            rng.uniform(0.5, 1, zeros.shape) * float(weight.std()) / 2 ** (bits - 2)
        ).half()
        groups = np.arange(n_in) // group
        groups = rng.permutation(groups) if order else groups
        dense = scales.double()[groups] * torch.from_numpy(values - zeros[groups])
        meant[name] = dense.T.float().contiguous()
        module = name.removesuffix(".weight")
        if method == "gptq":
            less = 0 if (settings or {}).get("checkpoint_format") == "gptq_v2" else 1
            parts = {"qweight": words_of(values.T, bits).T, "qzeros": words_of(zeros - less, bits)}
            if order:
                parts["g_idx"] = groups.astype(np.int32)
        else:
            places = np.array([0, 2, 4, 6, 1, 3, 5, 7])  # which of eight neighbours comes i-th in a word
            mixed = (
                part.reshape(len(part), -1, 8)[:, :, places].reshape(len(part), -1)
                for part in (values, zeros)
            )
            parts = dict(zip(("qweight", "qzeros"), (words_of(part, bits) for part in mixed), strict=True))
        stored |= {
            f"{module}.{part}": torch.from_numpy(np.ascontiguousarray(array)) for part, array in parts.items()
        }
        stored[f"{module}.scales"] = scales
    config = {"quant_method": method, "bits": bits, "group_size": group, "desc_act": order} | (settings or {})
    return write(Path(shutil.copytree(base, folder)), stored, config), meant


@pytest.mark.parametrize("family", ["llama", "qwen2", "mixtral"])
@pytest.mark.parametrize(
    ("method", "bits", "options"),
    [
        ("gptq", 4, {}),
        ("gptq", 4, {"order": True}),
        ("gptq", 4, {"settings": {"checkpoint_format": "gptq_v2"}}),
        ("gptq", 8, {"group": 64}),
        ("gptq", 3, {}),
        ("gptq", 2, {}),
        ("awq", 4, {"settings": {"version": "gemm", "zero_point": True}}),
        ("awq", 4, {"group": 64}),
    ],
)
def test_gptq_and_awq_need_no_package(tmp_path, monkeypatch, family, method, bits, options):
    monkeypatch.setattr(quantised, "find_spec", lambda _module: None)
    base = save_tiny(family, tmp_path / "base", hidden_size=64, intermediate_size=128)
    if family == "mixtral":  # its experts are merged on loading
        is_expert = [name for name in load_file(base / "model.safetensors") if ".experts." in name]
        assert is_expert
    folder, meant = packed_folder(base, tmp_path / "packed", method, bits, **options)
    model = an.load_model(str(folder))
    assert model.info.precision == f"{bits}-bit weights, computed in float32"
    same_run(model, plain_twin(base, tmp_path / "plain", meant))


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("gptq", {"bits": 4, "checkpoint_format": "marlin"}),
        ("gptq", {"bits": 5}),
        ("awq", {"bits": 4, "version": "gemv"}),
        ("awq", {"bits": 3}),
    ],
)
def test_other_layouts_ask_for_their_package(base, tmp_path, monkeypatch, method, settings):
    monkeypatch.setattr(quantised, "find_spec", lambda _module: None)
    weights = load_file(base / "model.safetensors")
    folder = write(Path(shutil.copytree(base, tmp_path / "m")), weights, {"quant_method": method, **settings})
    assert "gptqmodel" in refused(folder, ModelNotFoundError).message


def test_packed_weights_that_are_incomplete(base, tmp_path):
    folder, _ = packed_folder(base, tmp_path / "packed", "gptq", 4)
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.qzeros"]
    refused(write(folder, weights, None), BrokenFileError)
