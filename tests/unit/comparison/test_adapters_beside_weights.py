"""An adapter beside the weights of a loaded model: what peft merges, at every strength, and off again bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import analysis as an
from analysis.comparison.adapters import attached
from analysis.errors import AnalysisError, BrokenFileError, ModelNotFoundError, UnsupportedModelError
from tests import budget
from tests.tiny_models.families import save_tiny

TEXT = "The cat sat on the mat and looked at the rain."
LAYERS = {
    "llama": ["self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj"],
    "gpt2": ["attn.c_attn", "mlp.c_proj"],  # weights kept as (in, out)
    "qwen2": ["self_attn.k_proj", "mlp.up_proj"],  # with biases
}


@pytest.fixture(scope="module", params=LAYERS)
def pair(request, tmp_path_factory):
    """A tiny base and a folder with an adapter of it, written by hand."""
    base = save_tiny(request.param, tmp_path_factory.mktemp("base") / request.param, seed=3)
    model = an.load_model(str(base))
    return model, written(model, tmp_path_factory.mktemp("lora"), LAYERS[request.param])


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    base = save_tiny("llama", tmp_path_factory.mktemp("base") / "llama", seed=3)
    return an.load_model(str(base))


def written(model, folder: Path, layers, rank: int = 4, alpha: float = 12, **settings) -> Path:
    """An adapter as peft saves one, all its numbers random."""
    generator = torch.Generator().manual_seed(7)
    held = {}
    for path, module in model.model.named_modules():
        if path.endswith(tuple(layers)):
            n_out, n_in = (
                module.weight.shape if isinstance(module, torch.nn.Linear) else module.weight.T.shape
            )
            for name, shape in {"lora_A": (rank, n_in), "lora_B": (n_out, rank)}.items():
                drawn = torch.randn(shape, generator=generator) * 0.2
                held[f"base_model.model.{path}.{name}.weight"] = drawn
    names = sorted({layer.rpartition(".")[2] for layer in layers})
    told = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha, "bias": "none"}
    # "c_proj" stands in two places of a block of GPT-2
    told |= {
        "target_modules": names if "attn.c_attn" not in layers else layers,
        "base_model_name_or_path": "tiny",
    }
    folder.mkdir(exist_ok=True)
    save_file(held, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(told | settings))
    return folder


def logits(model) -> torch.Tensor:
    ids = torch.tensor([model.tokenizer(TEXT)["input_ids"]])
    with torch.inference_mode():
        return model.model(input_ids=ids, use_cache=False).logits[0]


def added_by_hand(model, folder: Path, factor: float) -> torch.Tensor:
    """Logits with ``W + factor B A`` in place of W, from the numbers in the file; the weights are put back."""
    held = load_file(folder / "adapter_model.safetensors")
    before = {}
    for name in [n for n in held if "lora_A" in n]:
        path = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        module = model.model.get_submodule(path)
        product = held[name.replace("lora_A", "lora_B")].double() @ held[name].double() * factor
        before[module] = module.weight.data.clone()
        turned = product if isinstance(module, torch.nn.Linear) else product.T
        module.weight.data = (module.weight.data.double() + turned).float()
    found = logits(model)
    for module, weight in before.items():
        module.weight.data = weight
    return found


@pytest.mark.parametrize("strength", [1.0, 0.25, -0.5])
def test_it_is_the_sum_of_weights_and_product_and_off_again_bit_for_bit(pair, strength):
    model, folder = pair
    before = logits(model)
    expected = added_by_hand(model, folder, strength * 12 / 4)
    with attached(model, folder, strength) as tuned:
        found = logits(tuned)
    near = budget.rounding(expected) * budget.WIDE
    assert (found - expected).abs().max() < near
    assert (found - before).abs().max() > budget.PLAINLY * near
    assert torch.equal(logits(model), before)


def test_strength_0_is_the_base(pair):
    model, folder = pair
    before = logits(model)
    with attached(model, folder, 0.0) as tuned:
        assert torch.equal(logits(tuned), before)


def test_a_measured_run_says_what_it_was_made_with(pair):
    model, folder = pair
    plain = an.trace(model, TEXT)
    with attached(model, folder, 0.5) as tuned:
        run = an.trace(tuned, TEXT)
        right = -torch.log_softmax(logits(tuned).double(), -1)
    targets = torch.tensor(run.tokens.token_id[1:])
    surprisal = right[:-1].gather(1, targets[:, None])[:, 0].numpy()
    assert np.abs(run.tokens.surprisal[1:] - surprisal).max() < budget.rounding(right) * budget.WIDE
    assert all(check.passed for check in run.checks)
    assert run.spec.adapter == str(folder) and run.spec.model.endswith(folder.name)
    assert run.spec.revision != plain.spec.revision
    assert any("strength 0.5" in note for note in run.notes)
    again = an.trace(model, TEXT)
    np.testing.assert_array_equal(again.tokens.surprisal, plain.tokens.surprisal)
    assert again.spec == plain.spec and model.spec.adapter is None


def test_it_goes_when_something_fails_inside(pair):
    model, folder = pair
    before = logits(model)
    with pytest.raises(KeyError), attached(model, folder):
        raise KeyError
    assert torch.equal(logits(model), before)
    assert not any(module._forward_hooks for module in model.model.modules())


def test_rank_stabilised_scale(llama, tmp_path):
    folder = written(llama, tmp_path / "a", ["q_proj"], rank=9, alpha=6, use_rslora=True)
    expected = added_by_hand(llama, folder, 6 / 3)
    with attached(llama, folder):
        assert (logits(llama) - expected).abs().max() < budget.rounding(expected) * budget.WIDE


def test_in_bfloat16_the_product_is_not_rounded_before_it_is_added(llama, tmp_path):
    folder = written(llama, tmp_path / "a", ["q_proj"])
    half = an.load_model(str(llama.spec.path), dtype="bfloat16")
    layer = half.model.model.layers[0].self_attn.q_proj
    states = torch.randn(5, layer.in_features, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.inference_mode():
        plain = layer(states)
        with attached(half, folder):
            found = layer(states)
        held = load_file(folder / "adapter_model.safetensors")
        down, up = (held[f"base_model.model.model.layers.0.self_attn.q_proj.lora_{n}.weight"] for n in "AB")
        expected = plain.float() + 12 / 4 * states.float() @ down.T @ up.T
    assert found.dtype == torch.bfloat16
    # one rounding to bfloat16, of 2^-9 relative
    assert ((found.float() - expected).abs() <= expected.abs() * 2**-8 + 1e-6).all()


def test_it_equals_what_peft_merges(llama, tmp_path):
    pytest.importorskip("peft", reason="the package peft is not installed")
    folder = written(llama, tmp_path / "a", LAYERS["llama"])
    merged = logits(an.load_model(str(llama.spec.path), adapter=str(folder)))
    with attached(llama, folder):
        assert (logits(llama) - merged).abs().max() < budget.rounding(merged) * budget.WIDE


# What is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa"),
        ({"peft_type": "LOHA"}, "LOHA"),
        ({"task_type": "SEQ_CLS"}, "SEQ_CLS"),
    ],
)
def test_what_is_not_plain_lora_is_refused(llama, tmp_path, settings, says):
    folder = written(llama, tmp_path / "a", ["q_proj"], **settings)
    with pytest.raises(UnsupportedModelError, match=says) as error, attached(llama, folder):
        pass
    assert error.value.message.count(". ") == 0 and error.value.hint


def test_more_in_the_file_than_products_is_refused(llama, tmp_path):
    folder = written(llama, tmp_path / "a", ["q_proj"])
    held = load_file(folder / "adapter_model.safetensors")
    extra = {"base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector": torch.ones(4)}
    save_file(held | extra, folder / "adapter_model.safetensors")
    with pytest.raises(UnsupportedModelError, match="lora_magnitude_vector"), attached(llama, folder):
        pass


def test_the_vocabulary_head_is_refused(llama, tmp_path):
    folder = written(llama, tmp_path / "a", ["lm_head"])
    with pytest.raises(UnsupportedModelError, match="vocabulary head"), attached(llama, folder):
        pass


def rewritten(folder: Path, change) -> Path:
    held = load_file(folder / "adapter_model.safetensors")
    save_file(change(held), folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda held: {n: t for n, t in held.items() if not n.endswith("0.self_attn.q_proj.lora_B.weight")},
        lambda held: {n: t for n, t in held.items() if ".0." not in n},
        lambda held: {n: t[:, :-1].contiguous() if "lora_A" in n else t for n, t in held.items()},
        lambda held: {n.replace("q_proj", "q_projection"): t for n, t in held.items()},
        lambda held: {n.replace("self_attn.q_proj", "self_attn"): t for n, t in held.items()},
        lambda held: {n: t[:-1].contiguous() if "lora_A" in n else t for n, t in held.items()},
        lambda held: {},
    ],
    ids=[
        "half a pair",
        "a layer left out",
        "too narrow",
        "no such layer",
        "no linear layer",
        "other rank",
        "empty",
    ],
)
def test_what_does_not_fit_is_refused(llama, tmp_path, change):
    folder = rewritten(written(llama, tmp_path / "a", ["q_proj"]), change)
    with pytest.raises(BrokenFileError, match="does not belong to this model"), attached(llama, folder):
        pass


@pytest.mark.parametrize("told", [{"r": 0}, {"r": "8"}, {"lora_alpha": None}])
def test_settings_without_numbers_are_refused(llama, tmp_path, told):
    folder = written(llama, tmp_path / "a", ["q_proj"])
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    with pytest.raises(BrokenFileError, match="no rank or no alpha"), attached(llama, folder):
        pass


def test_a_damaged_file_and_a_missing_one_are_said(llama, tmp_path):
    folder = written(llama, tmp_path / "a", ["q_proj"])
    (folder / "adapter_model.safetensors").write_bytes(b"12345678 not weights")
    with pytest.raises(BrokenFileError, match="damaged"), attached(llama, folder):
        pass
    with pytest.raises(ModelNotFoundError), attached(llama, tmp_path / "nowhere"):
        pass


def test_strength_must_be_a_number_and_one_adapter_is_enough(llama, tmp_path):
    folder = written(llama, tmp_path / "a", ["q_proj"])
    with pytest.raises(AnalysisError, match="strength"), attached(llama, folder, float("nan")):
        pass
    with attached(llama, folder) as tuned:  # noqa: SIM117 - the second is refused
        with pytest.raises(UnsupportedModelError, match="already"), attached(tuned, folder):
            pass
