"""The same numbers on a CUDA device. Skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import analysis as an
from analysis.models.tiny import FAMILIES, save_tiny

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]
TEXT = "the tin in the inn rests on the hearth. " * 12


@pytest.fixture
def no_tf32():
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_on_cuda_equals_the_cpu(family, tmp_path, no_tf32):
    folder = str(save_tiny(family, tmp_path / family)) + "/"
    runs = [an.trace(an.load_model(folder, device=d, dtype="float32"), TEXT) for d in ("cpu", "cuda")]
    for name in ("entropy", "surprisal", "varentropy"):
        cpu, cuda = (getattr(run.tokens, name) for run in runs)
        assert np.nanmax(np.abs(cpu - cuda)) < 1e-3
    assert all(check.passed for check in runs[1].checks)


def test_auto_takes_the_gpu_and_says_so(tmp_path):
    model = an.load_model(str(save_tiny("llama", tmp_path / "m")) + "/")
    assert model.info.device.startswith("cuda")
    assert model.info.device_name == torch.cuda.get_device_name(0)


def test_memory_holds_no_tokens_by_vocabulary_table(tmp_path):
    folder = save_tiny("llama", tmp_path / "m", vocab_size=60_000, max_position_embeddings=8192)
    model = an.load_model(str(folder) + "/", device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    trace = an.trace(model, "\x01" * 4000)
    table = len(trace.tokens) * 60_000 * 4
    assert torch.cuda.max_memory_allocated() - before < table / 3
