"""The same numbers on a CUDA device: against the CPU, in bfloat16, and in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import transformers
from packaging.version import Version

import analysis as an
from analysis.forward.visibility import AttentionSpan
from tests import budget
from tests.tiny_models.families import FAMILIES, save_tiny

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="no CUDA device: torch.cuda.is_available() is False"
    ),
]
DEVICE = "cuda"
TOLERANCE = 1e-3
"""nats, float32 on two devices: sums in another order, through a few layers."""
BFLOAT16_MEAN, BFLOAT16_MOST = 0.15, 2.0
"""nats between bfloat16 and float32 of the same weights on tiny models, whose logits are wide: loose on
purpose. A wrong mask or scale moves the mean by more than 1."""
TEXT = (
    "The cat sat on the mat, and the dog ran to the river in the morning; it was not there.\n\n"
    "Naïve 🙂 café: 12 + 30 = 42. He re-read one of the letters, again and again.\n"
    "for i in range(10):\n    print(i, i * i)\n"
)


@pytest.fixture(autouse=True)
def _exact_float32() -> Iterator[None]:
    """TF32 rounds the factors of float32 products to 10 bits, which these tests would notice."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def differences(a: an.Trace, b: an.Trace) -> dict[str, float]:
    """Largest difference of each quantity, and the mean one of the entropy, in nats."""
    out = {}
    for name in ("entropy", "surprisal", "varentropy"):
        gap = np.abs(getattr(a.tokens, name).astype(float) - getattr(b.tokens, name).astype(float))[1:]
        out[name], out[f"mean {name}"] = float(gap.max()), float(gap.mean())
    return out


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_equals_the_cpu(family, tiny_folder):
    folder = str(tiny_folder(family))
    there = an.trace(an.load_model(folder, device=DEVICE, dtype="float32"), TEXT, lens=True)
    here = an.trace(an.load_model(folder, device="cpu", dtype="float32"), TEXT, lens=True)
    found = differences(there, here)
    assert found["entropy"] < TOLERANCE and found["surprisal"] < TOLERANCE, found
    assert found["varentropy"] < 10 * TOLERANCE, found
    for field in ("lens_entropy", "lens_kl"):
        gap = np.abs(getattr(there.layers, field) - getattr(here.layers, field))[:, 1:]
        assert float(gap.max()) < TOLERANCE, field
    assert np.mean(there.tokens.rank == here.tokens.rank) > 0.99
    assert all(check.passed for check in there.checks), there.checks
    assert there.spec.device != here.spec.device


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2", "gpt2", "gpt_oss"])
def test_bfloat16_runs_and_its_error_is_bounded(family, tiny_folder, tmp_path, record_property):
    """Both runs start from weights that bfloat16 holds exactly, so only the arithmetic differs."""
    folder = str(save_tiny(family, tmp_path / family, dtype=torch.bfloat16))
    low = an.trace(an.load_model(folder, device=DEVICE, dtype="bfloat16"), TEXT)
    full = an.trace(an.load_model(folder, device=DEVICE, dtype="float32"), TEXT)
    assert low.spec.dtype == "bfloat16" and full.spec.dtype == "float32"
    found = differences(low, full)
    for name, value in found.items():
        record_property(name, round(value, 5))
    print(f"{family}: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()) + " nats")
    assert 0 < found["mean entropy"] < BFLOAT16_MEAN, found
    assert found["entropy"] < BFLOAT16_MOST and np.isfinite(low.tokens.surprisal[1:]).all()
    assert all(check.passed for check in low.checks), low.checks


def test_a_long_run_never_holds_tokens_times_vocabulary(tmp_path, record_property):
    vocab, length = 131_072, 8192
    folder = save_tiny("llama", tmp_path / "wide", vocab_size=vocab, max_position_embeddings=length)
    model = an.load_model(str(folder), device=DEVICE, dtype="float32")
    text = "a river, 12 stones; and so on. " * 200
    an.trace(model, text[:60])  # what libraries set aside on first use is not the run's
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    trace = an.trace(model, text)
    used = torch.cuda.max_memory_allocated() - before
    dense = len(trace.tokens) * vocab * 4
    record_property("used_mb", used // 10**6)
    record_property("dense_mb", dense // 10**6)
    print(
        f"{len(trace.tokens)} tokens: {used / 1e6:.0f} MB, tokens x vocabulary would be {dense / 1e6:.0f} MB"
    )
    assert 3500 < len(trace.tokens) <= length
    assert used < dense / 4
    assert used <= an.plan_run(model, len(trace.tokens)).bytes_needed
    del trace
    assert torch.cuda.memory_allocated() <= before + 10**6, "nothing of a run stays on the device"


def test_auto_takes_the_device_and_says_so(tiny_folder):
    model = an.load_model(str(tiny_folder("llama")))
    assert model.info.device.startswith("cuda")
    assert model.info.device_name == torch.cuda.get_device_name(0)


def test_unload_gives_the_memory_back(tiny_folder):
    from app.compute.model_slot import ModelSlot

    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    model_slot = ModelSlot()
    model = model_slot.get(an.ModelSpec(str(tiny_folder("llama")) + "/", device=DEVICE), lambda *_: None)
    an.trace(model, TEXT)
    assert torch.cuda.memory_allocated() > before
    del model
    model_slot.unload()
    assert torch.cuda.memory_allocated() <= before + 2**20


def test_two_threads_share_one_model(tiny_folder):
    """The lock makes them take turns: each gets the numbers it would get alone."""
    model = an.load_model(str(tiny_folder("llama")), device=DEVICE, dtype="float32")
    texts = [TEXT, TEXT[::-1]]
    alone = [an.trace(model, text).tokens.entropy for text in texts]
    got: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        for _ in range(5):
            got[i] = an.trace(model, texts[i]).tokens.entropy

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(2):
        np.testing.assert_array_equal(got[i], alone[i])


CAPS = pytest.mark.skipif(
    Version(transformers.__version__) < Version("5.22"), reason="this transformers loses Gemma 2's soft cap"
)


@pytest.mark.parametrize("family", ["llama", pytest.param("gemma2", marks=CAPS), "gpt2"])
def test_evictions_equal_the_cpu(family, tiny_folder):
    """Once and step by step, by scores of every kind; a tie may fall otherwise, so sets are compared as a share."""
    from analysis.pruning_effects.eviction.decoding import sweep_decoding

    folder, sweeps = str(tiny_folder(family)), {}
    for device in ("cpu", DEVICE):
        model = an.load_model(folder, device=device, dtype="float32")
        half = len(TEXT) // 2
        sweeps[device] = [
            an.sweep_eviction(model, TEXT[:half], TEXT[half:], ["streaming", "knorm", "h2o", "tova"], [0.6]),
            sweep_decoding(model, TEXT[:half], TEXT[half : half + 60], ["h2o", "window"], [0.6]),
        ]
    for ours, theirs in zip(sweeps[DEVICE], sweeps["cpu"], strict=True):
        np.testing.assert_allclose(ours.surprisal[0], theirs.surprisal[0], atol=1e-2)
        same = [(ours.kept(s) == theirs.kept(s)).mean() for s in range(len(theirs.settings))]
        assert min(same) > 0.98
        assert (ours.to_frame()["kl"][1:] > 0).all()


def test_what_is_written_on_the_device_is_what_it_reads(tmp_path):
    """Float32: greedy ids and numbers as on the CPU; bfloat16: as reading its own tokens again."""
    folder = str(save_tiny("llama", tmp_path))
    drawn = (("temperature", 1.0), ("top-p", 0.9))
    here = an.write(an.load_model(folder, device="cpu", dtype="float32"), TEXT, n_new=24)
    model = an.load_model(folder, device=DEVICE, dtype="float32")
    there = an.write(model, TEXT, n_new=24)
    assert there.path().tolist() == here.path().tolist()
    np.testing.assert_allclose(there.tokens().entropy[1:], here.tokens().entropy[1:], atol=TOLERANCE)
    w = an.write_samples(model, TEXT, 3, n_new=12, samplers=drawn).writing
    w = an.branch(model, w, of=1, at=len(w.prompt.ids) + 4, token=9, n_new=6)
    w = an.what_if(model, w, of=0, at=len(w.prompt.ids) + 2, k=2, n_new=4)
    half = an.load_model(folder, device=DEVICE, dtype="bfloat16")
    for loaded, written in ((model, w), (half, an.write(half, TEXT, n_new=24, samplers=drawn))):
        for branch in written.branches:
            checked = an.check_written(loaded, written, branch.id).branches[branch.id]
            assert all(check.passed for check in checked.checks), checked.checks


SHAPES = {
    "grouped": (8, 2, 1000, 128, 128, AttentionSpan(), False),
    "narrow, odd width": (4, 4, 333, 80, 40, AttentionSpan(), False),
    "wide": (2, 1, 700, 256, 256, AttentionSpan(), False),
    "latent": (2, 2, 300, 192, 128, AttentionSpan(), False),
    "window": (4, 2, 900, 64, 64, AttentionSpan(window=200), False),
    "small window": (4, 2, 900, 64, 64, AttentionSpan(window=8), False),
    "chunk": (4, 2, 900, 64, 64, AttentionSpan(chunk=130), False),
    "learned sink": (4, 2, 500, 64, 64, AttentionSpan(window=128), True),
    "one token": (4, 2, 1, 64, 64, AttentionSpan(), True),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SHAPES)
def test_kernels_give_what_blocks_give(name, dtype):
    """Statistics as exact as float32; the output rounded twice to the precision of its values."""
    from analysis.forward import attention, attention_way

    heads, groups, n, width, value_width, span, has_sinks = SHAPES[name]
    generator = torch.Generator(DEVICE).manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, device=DEVICE)  # noqa: E731
    query = (3 * draw(n, heads, width)).to(dtype).transpose(0, 1)  # as layers hand it over
    key, value = draw(groups, n, width).to(dtype), draw(groups, n, value_width).to(dtype)
    given = {
        "scale": width**-0.5,
        "span": span,
        "sink_logits": draw(heads) if has_sinks else None,
        "weightings": draw(n, 2).abs(),
    }
    fused = attention_way.kernels_for(query, key, value)
    assert fused is not None, "the kernels do not work on this device"
    theirs = attention.attend(query.float(), key.float(), value.float(), **given)
    ours = fused(query, key, value, **given)
    of_columns = budget.WEIGHT * max(1.0, float(theirs.columns.max()))
    allowed = {
        "entropy": budget.ROW_ENTROPY,
        "first_key": budget.WEIGHT,
        "mass": budget.WEIGHT,
        "columns": of_columns,
    }
    for field, atol in allowed.items():
        torch.testing.assert_close(getattr(ours, field), getattr(theirs, field), atol=atol, rtol=0)
    rounding = torch.finfo(dtype).eps * float(theirs.output.abs().max())
    torch.testing.assert_close(ours.output.float(), theirs.output, atol=2 * rounding, rtol=0)
    assert float(ours.row_error) < 1e-5


@pytest.mark.parametrize("family", ["llama", "gpt_oss", "mistral"])
def test_a_run_by_kernels_is_the_run_by_blocks(family, tmp_path, monkeypatch):
    """bfloat16, whose outputs are rounded otherwise: alike on the whole, and every check passes."""
    from analysis.forward import attention_adapter

    model = an.load_model(
        str(save_tiny(family, tmp_path / family, dtype=torch.bfloat16)), device=DEVICE, dtype="bfloat16"
    )
    kernels = an.trace(model, TEXT)
    monkeypatch.setattr(attention_adapter, "kernels_for", lambda *_: None)
    blocks = an.trace(model, TEXT)
    assert all(check.passed for check in kernels.checks), kernels.checks
    first = kernels.attention.entropy[0] - blocks.attention.entropy[0]
    assert float(np.abs(first).max()) < budget.ROW_ENTROPY, (
        "the first layer gets the same states by both ways"
    )
    assert float(np.abs(kernels.attention.entropy - blocks.attention.entropy).mean()) < 0.02
    assert differences(kernels, blocks)["mean entropy"] < BFLOAT16_MEAN


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_products_of_16_bits_are_not_rounded_to_them(dtype):
    from analysis.models.wide_product import wide_product

    generator = torch.Generator(DEVICE).manual_seed(0)
    states, weight = (torch.randn(n, 2048, generator=generator, device=DEVICE).to(dtype) for n in (300, 5000))
    exact = states.double() @ weight.double().T
    found = wide_product(states, weight)
    assert found.dtype == torch.float32
    assert float((found - exact).abs().max()) < budget.STATES * float(exact.abs().max())
    room = torch.empty(300, 5000, device=DEVICE)
    assert wide_product(states, weight, room) is room
    torch.testing.assert_close(room, found, atol=0, rtol=0)
