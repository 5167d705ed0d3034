"""Adapters: the base alone, or merged into it; never a third thing, whatever is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import analysis as an
from analysis.errors import AnalysisError, BrokenFileError, ModelNotFoundError, UnsupportedModelError
from analysis.models.adapter_files import find_adapter
from analysis.models.spec import ModelSpec
from tests import budget
from tests.tiny_models.families import save_tiny, tiny_model
from tests.tiny_models.gguf import save_tiny_gguf
from tests.tiny_models.tokenizer import byte_tokenizer

peft = pytest.importorskip("peft", reason="the package peft is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft's
TEXT = "The cat sat on the mat and looked at the rain."
ROUNDING = 32 * 2**-23


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny("llama", tmp_path_factory.mktemp("base") / "llama", seed=3)


def save_adapter(base: Path, folder: Path, kind=peft.LoraConfig, seed: int = 0, **settings) -> Path:
    """An adapter as peft saves it, every one of its numbers random."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):  # peft draws what it begins with
        torch.manual_seed(seed)
        attached = peft.get_peft_model(model, kind(task_type="CAUSAL_LM", **settings))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in attached.parameters():
            if parameter.requires_grad:
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.add_(drawn * 0.3)
    attached.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def lora(base, tmp_path_factory):
    targets = ["q_proj", "v_proj", "down_proj"]
    return save_adapter(
        base, tmp_path_factory.mktemp("lora") / "lora", r=4, lora_alpha=12, target_modules=targets
    )


@pytest.fixture
def both(base, lora, tmp_path):
    """A whole model with an adapter in the same folder, as trainers leave it."""
    folder = Path(shutil.copytree(base, tmp_path / "both"))
    for file in lora.glob("adapter_*"):
        shutil.copy(file, folder)
    return folder


def surprisal(model) -> np.ndarray:
    return an.trace(model, TEXT, attention=False).tokens.surprisal[1:]


def merged_by_hand(base: Path, adapter: Path, scale: float) -> dict[str, torch.Tensor]:
    """``W + (alpha / r) B A``, from the numbers in the two files alone, in float64."""
    weights, held = load_file(base / "model.safetensors"), load_file(adapter / "adapter_model.safetensors")
    for name in [n for n in held if n.endswith("lora_A.weight")]:
        target = name.removeprefix("base_model.model.").replace("lora_A.", "")
        product = held[name.replace("lora_A", "lora_B")].double() @ held[name].double()
        weights[target] = (weights[target].double() + scale * product).float()
    return weights


def loaded_with(weights: dict[str, torch.Tensor], base: Path, folder: Path) -> an.LanguageModel:
    shutil.copytree(base, folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return an.load_model(str(folder))


def close(ours: np.ndarray, theirs: np.ndarray, most: float = 30.0) -> bool:
    return bool(np.abs(ours - theirs).max() < ROUNDING * most)


# What is measured -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rslora", "scale"), [(False, 12 / 4), (True, 12 / 2)])
def test_base_plus_adapter_is_the_sum_of_the_two_files(base, tmp_path, rslora, scale):
    adapter = save_adapter(
        base, tmp_path / "a", r=4, lora_alpha=12, use_rslora=rslora, target_modules=["q_proj", "up_proj"]
    )
    right = loaded_with(merged_by_hand(base, adapter, scale), base, tmp_path / "right")
    model = an.load_model(str(base), adapter=str(adapter))
    assert close(surprisal(model), surprisal(right))
    assert np.abs(surprisal(model) - surprisal(an.load_model(str(base)))).max() > 0.1
    assert not [name for name, _ in model.model.named_parameters() if "lora" in name]
    assert type(model.model).__name__ == "LlamaForCausalLM"
    assert model.info.name == "llama + a" and any("merged" in note for note in model.info.notes)
    run = an.trace(model, TEXT)
    assert run.attention is not None and all(check.passed for check in run.checks)
    assert run.spec.adapter == str(adapter) and run.notes == model.info.notes


@pytest.mark.parametrize("kind", ["dora", "ia3", "loha", "lokr", "modules_to_save"])
def test_kin_of_lora_merge_to_what_peft_computes_unmerged(base, tmp_path, kind):
    settings = {
        "dora": (peft.LoraConfig, {"r": 2, "use_dora": True, "target_modules": ["k_proj"]}),
        "ia3": (
            peft.IA3Config,
            {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
        ),
        "loha": (peft.LoHaConfig, {"r": 2, "target_modules": ["q_proj"]}),
        "lokr": (peft.LoKrConfig, {"r": 2, "target_modules": ["q_proj"]}),
        "modules_to_save": (
            peft.LoraConfig,
            {"r": 2, "target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        ),
    }[kind]
    adapter = save_adapter(base, tmp_path / "a", settings[0], **settings[1])
    model = an.load_model(str(base), adapter=str(adapter))
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    attached = peft.PeftModel.from_pretrained(plain, str(adapter)).eval()
    ids = torch.tensor([model.tokenizer(TEXT)["input_ids"]])
    with torch.inference_mode():
        theirs, ours = attached(ids).logits, model.model(ids).logits
        before = an.load_model(str(base)).model(ids).logits
    # two routes whose matrices are other sums, through every layer
    assert float((ours - theirs).abs().max()) < budget.WIDE * budget.rounding(theirs)
    assert float((ours - before).abs().max()) > 0.05


def test_an_adapter_beside_a_model_is_left_alone_until_it_is_asked_for(base, lora, both):
    alone = an.load_model(str(both))
    assert close(surprisal(alone), surprisal(an.load_model(str(base))))
    assert any("not applied" in note for note in alone.info.notes)
    assert not [name for name, _ in alone.model.named_modules() if "lora" in name]
    asked = an.load_model(str(both), adapter=str(both))
    assert close(surprisal(asked), surprisal(an.load_model(str(base), adapter=str(lora))))
    assert not any("not applied" in note for note in asked.info.notes)


def test_an_adapter_in_the_folder_above_is_none_of_its_business(base, lora, tmp_path):
    """Checkpoints lie in folders of their own below the run's; each may hold adapters."""
    outer = Path(shutil.copytree(lora, tmp_path / "run"))
    inner = Path(shutil.copytree(base, outer / "final"))
    for file in lora.glob("adapter_*"):
        shutil.copy(file, inner)
    assert close(surprisal(an.load_model(str(inner))), surprisal(an.load_model(str(base))))


def test_whether_peft_is_installed_changes_no_number(base, both, monkeypatch):
    from transformers.integrations import peft as integration
    from transformers.models.auto import auto_factory

    with_peft = surprisal(an.load_model(str(both)))
    for module in (integration, auto_factory):
        monkeypatch.setattr(module, "is_peft_available", lambda *_args, **_kwargs: False)
    assert close(surprisal(an.load_model(str(both))), with_peft)


@pytest.mark.parametrize("kind", ["gguf", "bfloat16"])
def test_other_bases(base, lora, tmp_path, kind):
    if kind == "gguf":
        path = save_tiny_gguf(tmp_path / "x.gguf", seed=3)
        model = an.load_model(str(path), adapter=str(lora))
        right = an.load_model(str(base), adapter=str(lora))
        assert np.abs(surprisal(model) - surprisal(right)).max() < 1e-3
    else:
        model = an.load_model(str(base), adapter=str(lora), dtype="bfloat16")
        assert model.info.dtype == "bfloat16" and {p.dtype for p in model.model.parameters()} == {
            torch.bfloat16
        }
        assert np.abs(surprisal(model) - surprisal(an.load_model(str(base), dtype="bfloat16"))).max() > 0.1


def test_an_adapter_with_added_tokens_brings_its_rows_and_its_tokenizer(base, tmp_path):
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([f"<|t{i}|>" for i in range(30)])  # 324 ids, the base has 320 rows
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.resize_token_embeddings(328, mean_resizing=False)
    settings = {"r": 2, "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}
    attached = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
    attached.save_pretrained(tmp_path / "a", save_embedding_layers=True)
    tokenizer.save_pretrained(tmp_path / "a")
    loaded = an.load_model(str(base), adapter=str(tmp_path / "a"))
    assert loaded.info.vocab_size == 328 and len(loaded.tokenizer) == 324
    run = an.trace(loaded, "a <|t29|> b")
    assert "<|t29|>" in run.tokens.text


# What is offered and refused --------------------------------------------------------------------------


def refused(kind, source, **options) -> AnalysisError:
    with pytest.raises(kind) as caught:
        an.load_model(str(source), **options)
    assert "\n" not in str(caught.value) and caught.value.hint
    return caught.value


def test_an_adapter_alone_names_its_base(base, lora):
    error = refused(ModelNotFoundError, lora)
    assert str(base) in error.message and f"adapter='{lora}'" in error.hint


@pytest.mark.parametrize("says", [None, "", "org/base"])
def test_the_base_may_be_a_hub_id_or_unknown(lora, tmp_path, says):
    folder = Path(shutil.copytree(lora, tmp_path / "a"))
    config = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": says}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    error = refused(ModelNotFoundError, folder)
    assert (says or "does not name") in error.message


def test_what_a_folder_offers_is_seen_without_loading(base, lora, both, tmp_path):
    assert find_adapter(base) is None and find_adapter(tmp_path / "nowhere") is None
    alone, beside = find_adapter(lora), find_adapter(f"{both}/")
    assert alone is not None and not alone.beside_model and alone.base == str(base)
    assert beside is not None and beside.beside_model
    (both / "adapter_config.json").write_text("{")
    assert find_adapter(both) is None


def test_without_peft_the_package_is_named(base, lora, both, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    error = refused(AnalysisError, base, adapter=str(lora))
    assert "peft" in error.message and "pip install peft" in error.hint
    assert an.load_model(str(both)).info.notes, "the base alone needs no peft"


def test_pickled_adapters_are_not_read(base, lora, tmp_path):
    folder = Path(shutil.copytree(lora, tmp_path / "a"))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    assert "ickle" in refused(ModelNotFoundError, base, adapter=str(folder)).hint
    (folder / "adapter_model.bin").unlink()
    assert "weights" in refused(ModelNotFoundError, base, adapter=str(folder)).hint


@pytest.mark.parametrize(
    "change", ["another model", "a layer missing", "a layer too many", "a damaged config"]
)
def test_an_adapter_of_another_base(base, lora, tmp_path, change):
    folder = Path(shutil.copytree(lora, tmp_path / "a"))
    held = load_file(folder / "adapter_model.safetensors")
    where = str(base)
    if change == "another model":
        where = str(save_tiny("llama", tmp_path / "wide", hidden_size=96))
    elif change == "a layer missing":
        held = {name: tensor for name, tensor in held.items() if "layers.1" not in name}
    elif change == "a layer too many":
        held |= {
            name.replace("layers.1", "layers.7"): tensor.clone()
            for name, tensor in held.items()
            if "layers.1" in name
        }
    else:
        (folder / "adapter_config.json").write_text("[]")
    save_file(held, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    refused(BrokenFileError, where, adapter=str(folder))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task_type": "SEQ_CLS"}, "SEQ_CLS"),
        ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}, "PROMPT_TUNING"),
        ({"peft_type": "NO_SUCH_KIND"}, "peft"),
    ],
)
def test_adapters_that_make_no_language_model_or_no_weights(base, lora, tmp_path, changes, words):
    folder = Path(shutil.copytree(lora, tmp_path / "a"))
    config = json.loads((folder / "adapter_config.json").read_text())
    if "peft_type" in changes:
        config = {"task_type": "CAUSAL_LM", "base_model_name_or_path": str(base)}
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    assert words in refused(UnsupportedModelError, base, adapter=str(folder)).message


def test_places_that_hold_no_adapter(base, tmp_path):
    assert "adapter_config.json" in refused(ModelNotFoundError, base, adapter=str(base)).message
    refused(ModelNotFoundError, base, adapter=f"{tmp_path}/nowhere/")
    with pytest.raises(AnalysisError, match="neither a folder nor a hub id"):
        ModelSpec(str(base), adapter="a b c")


def test_the_adapter_is_part_of_the_key(base, lora):
    plain, adapted = ModelSpec(str(base)), ModelSpec(str(base), adapter=f" '{lora}' ")
    assert plain != adapted and adapted.adapter == str(lora)
    before = adapted.fingerprint()
    assert plain.fingerprint() != before
    (lora / "note.txt").write_text("x")
    assert adapted.fingerprint() != before
    (lora / "note.txt").unlink()


def test_the_same_weights_by_two_roads(base, lora, tmp_path):
    """Merged in memory here, merged by peft and saved there."""
    assert "lora" not in str(base)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(plain, str(lora)).merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    byte_tokenizer().save_pretrained(tmp_path / "merged")
    saved = an.load_model(str(tmp_path / "merged"))
    assert close(surprisal(saved), surprisal(an.load_model(str(base), adapter=str(lora))))
    assert tiny_model("llama", seed=3).config.hidden_size == saved.info.hidden_size


FROM_THE_CACHE = """
import sys, warnings, analysis as an
from analysis.errors import AnalysisError
text = "The cat sat on the mat."
def numbers(*args, **options):
    model = an.load_model(*args, **options)
    return an.trace(model, text, attention=False).tokens.surprisal[1:].tolist(), model.info
def close(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) < 32 * 2**-23 * 30
base, lora = sys.argv[1:]
plain, _ = numbers(base)
merged, _ = numbers(base, adapter=lora)
assert close(numbers("org/base")[0], plain) and not close(plain, merged)
found, info = numbers("org/both")
assert close(found, plain) and any("not applied" in note for note in info.notes), info
assert info.revision == "b" * 40, info.revision
assert close(numbers("org/base", adapter="org/lora")[0], merged)
assert close(numbers("org/both", adapter="org/both")[0], merged)
for wrong in ("org/lora", "org/nowhere"):
    try:
        an.load_model(wrong)
    except AnalysisError as error:
        print(error)
try:
    an.load_model("org/base", adapter="org/nowhere")
except AnalysisError as error:
    print(error)
"""


def test_models_and_adapters_of_the_hub(base, lora, tmp_path):
    """As the hub's own library keeps them on the disk, without a network."""
    contents = {"base": [base], "lora": [lora], "both": [base, lora]}
    for name, folders in contents.items():
        place = tmp_path / "hub" / f"models--org--{name}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text("b" * 40)
        for folder in folders:
            shutil.copytree(folder, place / "snapshots" / ("b" * 40), dirs_exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", FROM_THE_CACHE, str(base), str(lora)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    alone, nowhere, no_adapter = done.stdout.strip().splitlines()
    assert str(base) in alone and "adapter='org/lora'" in alone
    assert "cannot be reached" in nowhere and "org/nowhere" in no_adapter
