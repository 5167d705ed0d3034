"""A model spread over places gives the numbers of the same model on one device."""

from __future__ import annotations

import gc
import weakref
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import analysis as an
from analysis.errors import OutOfMemoryError, UnsupportedModelError
from analysis.models import memory
from tests.tiny_models.families import save_tiny
from tests.tiny_models.gguf import save_tiny_gguf

TEXT = "The cat sat on the mat and looked at the rain. It was noon, and nobody came."
ROUNDING = 32 * 2**-23 * 30  # logits of these models stay below 30
AFTER = " Then the postman came at last."


def places(model: an.LanguageModel, on_disk: str) -> dict[str, str]:
    """Every part in memory but those asked for: some layers, the head, the ends, or everything."""
    body, _, layers = model.anatomy.layers_path.rpartition(".")
    parts = {f"{body}.{name}": "cpu" for name, _ in model.model.get_submodule(body).named_children()}
    del parts[f"{body}.{layers}"]
    parts |= {f"{body}.{layers}.{i}": "cpu" for i in range(model.info.n_layers)}
    parts |= {name: "cpu" for name, _ in model.model.named_children() if not body.startswith(name)}
    if on_disk == "layers":
        chosen = [f"{body}.{layers}.{i}" for i in range(1, model.info.n_layers)]
    elif on_disk == "ends":
        chosen = [name for name in parts if f".{layers}." not in name]
    else:
        chosen = list(parts)
    return parts | dict.fromkeys(chosen, "disk")


def close(ours, theirs, name: str = "") -> None:
    """The same sums of the same numbers; kernels may group them otherwise for weights that lie elsewhere.

    On the machines it was tried on they are bit-equal; the budget is that of two float32 routes.
    """
    np.testing.assert_allclose(ours, theirs, rtol=64 * 2**-23, atol=ROUNDING, err_msg=name)


def same(ours: object, theirs: object) -> None:
    for field in fields(ours):  # type: ignore[arg-type]
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        if isinstance(a, np.ndarray):
            close(a, b, field.name)


@pytest.fixture(scope="module", params=["llama", "gemma2", "gpt2", "opt", "mixtral", "phi"])
def folder(request, tmp_path_factory):
    return save_tiny(
        request.param, tmp_path_factory.mktemp(request.param) / request.param, num_hidden_layers=4
    )


@pytest.mark.parametrize("on_disk", ["layers", "ends", "everything"])
def test_numbers_are_those_of_one_device(folder, on_disk):
    one = an.load_model(str(folder), device="cpu")
    spread = an.load_model(str(folder), device_map=places(one, on_disk))
    assert spread.info.n_parameters == one.info.n_parameters
    assert spread.info.bytes_held < one.info.bytes_held
    assert "disk" in spread.info.device and any("disk" in note for note in spread.info.notes)
    a = an.trace(spread, TEXT, lens=True, top_k=5)
    b = an.trace(one, TEXT, lens=True, top_k=5)
    for part in ("tokens", "layers", "next", "attention"):
        same(getattr(a, part), getattr(b, part))
    close(a.final_states, b.final_states)
    assert a.attention is not None and all(check.passed for check in a.checks)


@pytest.mark.parametrize("on_disk", ["layers", "everything"])
def test_evictions_writing_and_samplers_too(folder, on_disk):
    one = an.load_model(str(folder), device="cpu")
    spread = an.load_model(str(folder), device_map=places(one, on_disk))
    frames = []
    for model in (one, spread):
        sweep = an.sweep_eviction(model, TEXT, AFTER, policies=["streaming", "knorm"], kept=[1.0, 0.5])
        frames.append(sweep.to_frame().select_dtypes("number").to_numpy(float))
    close(*frames)
    kept = [an.sampler_panel(model, an.trace(one, TEXT), 5) for model in (one, spread)]
    assert [k.sampler for k in kept[0]] == [k.sampler for k in kept[1]] != []
    close([k.mass for k in kept[0]], [k.mass for k in kept[1]])


def test_weights_that_do_not_fit_are_spread(tmp_path, monkeypatch):
    folder = save_tiny("llama", tmp_path / "llama", num_hidden_layers=6)
    one = an.load_model(str(folder), device="cpu")
    free = memory.free_bytes
    small = int(one.info.bytes_held * 0.6)
    monkeypatch.setattr(memory, "free_bytes", lambda _device: small)
    with pytest.raises(OutOfMemoryError, match="GiB"):
        an.load_model(str(folder), device="cpu")
    with pytest.raises(UnsupportedModelError, match="merged"):
        from analysis.models.placement import choose_placement
        from analysis.models.spec import ModelSpec

        choose_placement(ModelSpec(str(folder), adapter=str(folder)), small + 1)
    spread = an.load_model(str(folder))
    asked = an.load_model(str(folder), device="spread")
    monkeypatch.setattr(memory, "free_bytes", free)
    for model in (spread, asked):
        assert 0 < model.info.bytes_held < one.info.bytes_held
        same(an.trace(model, TEXT).tokens, an.trace(one, TEXT).tokens)
    assert any("GiB are free" in note for note in spread.info.notes)


def test_spread_where_everything_fits_is_one_device(tmp_path):
    folder = save_tiny("llama", tmp_path / "llama")
    model = an.load_model(str(folder), device="spread")
    assert model.info.device == "cpu" and not model.info.notes


def test_weights_are_counted_in_the_precision_they_are_computed_in(tmp_path, monkeypatch):
    """A 16-bit file takes twice its size in float32."""
    import torch

    folder = save_tiny("llama", tmp_path / "llama", dtype=torch.bfloat16)
    stored = (folder / "model.safetensors").stat().st_size
    monkeypatch.setattr(memory, "free_bytes", lambda _device: int(1.5 * stored))
    with pytest.raises(OutOfMemoryError):
        an.load_model(str(folder), device="cpu")
    assert an.load_model(str(folder), device="cpu", dtype="bfloat16").info.dtype == "bfloat16"


def test_what_is_written_for_the_disk_goes_with_the_model(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = save_tiny("mixtral", tmp_path / "model")  # experts are merged, so they are written again
    one = an.load_model(str(folder), device="cpu")
    model = an.load_model(str(folder), device_map=places(one, "everything"))
    written = [path for path in Path(tmp_path).glob("logitscope-*") if any(path.iterdir())]
    assert written
    gone = weakref.ref(model.model)
    del model
    gc.collect()
    assert gone() is None and not any(path.exists() for path in written)


def test_gguf_files_stay_in_memory(tmp_path, monkeypatch):
    path = save_tiny_gguf(tmp_path / "x.gguf", seed=1)
    one = an.load_model(str(path), device="cpu")
    with pytest.raises(OutOfMemoryError, match="does not fit"):
        an.load_model(str(path), device_map=places(one, "layers"))
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 1000)
    with pytest.raises(OutOfMemoryError, match="GiB"):
        an.load_model(str(path), device="cpu")
    with pytest.raises(OutOfMemoryError, match="does not fit"):
        an.load_model(str(path))


def test_fast_products_reach_weights_that_are_brought_in(tmp_path):
    from analysis.models.linear import fast_linears

    folder = save_tiny("llama", tmp_path / "llama")
    one = an.load_model(str(folder), device="cpu")
    spread = an.load_model(str(folder), device_map=places(one, "layers"))
    linear = spread.model.model.layers[1].mlp.up_proj
    before = linear._old_forward
    with fast_linears(spread.model):
        assert linear._old_forward is not before
        inside = an.trace(spread, TEXT, attention=False)
    assert linear._old_forward is before
    same(inside.tokens, an.trace(one, TEXT, attention=False).tokens)
