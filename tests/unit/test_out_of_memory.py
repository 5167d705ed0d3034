"""Every kind of message that says that memory ran out is known, whoever raised it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

import analysis as an
from analysis.errors import Cancelled, OutOfMemoryError
from analysis.models.load_errors import as_analysis_error
from analysis.models.spec import ModelSpec
from analysis.out_of_memory import is_out_of_memory, when_memory_runs_out
from app.compute.failures import explain

REFUSAL = OutOfMemoryError("It is full.", "Shorten the text.")
FULL = {
    "CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "CUDA, words alone": RuntimeError("CUDA error: out of memory"),
    "Metal": RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "CPU": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4611686018427387904 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "CPU, Windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    "C++": RuntimeError("std::bad_alloc"),
    "Python": MemoryError(),
    "operating system": OSError(12, "Cannot allocate memory"),
    "safetensors": SafetensorError("Error while reading: Os { code: 12, message: \"Cannot allocate memory\" }"),
}  # fmt: skip
OTHERS = [
    ValueError("out of memory"),
    RuntimeError("shapes do not match"),
    OSError("No space left on device"),
    SafetensorError("Error while deserializing header: HeaderTooLarge"),
    Cancelled("out of memory"),
]


@pytest.mark.parametrize("problem", FULL.values(), ids=FULL)
def test_memory_that_runs_out_is_known_and_said(problem):
    assert is_out_of_memory(problem)
    with pytest.raises(OutOfMemoryError, match=r"It is full\.") as caught, when_memory_runs_out(REFUSAL):
        raise problem
    assert caught.value.__cause__ is problem
    assert type(explain(problem, "reading")) is OutOfMemoryError
    assert type(as_analysis_error(problem, ModelSpec("embedded"))) is OutOfMemoryError


@pytest.mark.parametrize("problem", OTHERS, ids=lambda p: f"{type(p).__name__}: {p}"[:30])
def test_other_errors_pass_as_they_are(problem):
    assert not is_out_of_memory(problem)
    with pytest.raises(type(problem)) as caught, when_memory_runs_out(REFUSAL):
        raise problem
    assert caught.value is problem


def test_what_numpy_and_torch_really_raise():
    with pytest.raises(OutOfMemoryError), when_memory_runs_out(REFUSAL):
        np.empty(1 << 60, np.uint8)
    with pytest.raises(OutOfMemoryError), when_memory_runs_out(REFUSAL):
        torch.empty(1 << 62, dtype=torch.uint8)


def test_torch_is_not_imported_to_know():
    code = "from analysis.out_of_memory import is_out_of_memory as f; import sys; print(f(MemoryError()), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


MEASURES = {
    "comparing methods": lambda m: an.sweep_eviction(m, "one two three four five six", "seven", ["h2o"], [0.5]),
    "tokens": lambda m: an.trace(m, "some text"),
    "compressing": lambda m: an.compress(m, "one two three four five six", "self-information", 0.5),
}  # fmt: skip


@pytest.mark.parametrize("what", MEASURES)
def test_every_measure_says_that_the_device_is_full(fresh_llama, what):
    def fail(*_args):
        raise FULL["CPU"]

    fresh_llama.model.model.layers[1].register_forward_hook(fail)
    with pytest.raises(OutOfMemoryError, match="ran out of memory") as caught:
        MEASURES[what](fresh_llama)
    assert fresh_llama.info.device_name in caught.value.message and caught.value.hint
    assert not fresh_llama.lock._is_owned()
