"""What a person reads when a run fails, and that nothing of it stays in memory."""

from __future__ import annotations

import gc
import logging
import sys
import types
import weakref

import pytest

from analysis.errors import AnalysisError, Cancelled, InvalidTextError, OutOfMemoryError
from app.compute import failures
from app.compute.failures import explain, free_memory, let_go

# --- sentences ----------------------------------------------------------------------------------------


def raised(error):
    """Raise and catch an error, so that it has a traceback."""
    try:
        raise error
    except BaseException as problem:  # noqa: BLE001
        return problem


def test_an_analysis_error_is_kept_as_it_is(caplog):
    error = raised(InvalidTextError("The text is empty.", "Paste one."))
    assert explain(error, "reading") is error
    assert error.__traceback__ is None and caplog.records == []


def test_another_exception_becomes_a_sentence_and_its_traceback_is_logged(caplog):
    with caplog.at_level(logging.ERROR, logger="logitscope"):
        error = explain(raised(KeyError("lm_head")), "reading layer 3 of 30.")
    assert type(error) is AnalysisError
    assert error.message == "The run stopped while reading layer 3 of 30: KeyError: 'lm_head'."
    assert "report it" in error.hint
    assert "Traceback" in caplog.text and "raise error" in caplog.text
    assert all(record.exc_info is None for record in caplog.records), "a record would pin the frames"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("first line.\nsecond line", "The run stopped while computing: ValueError: first line."),
        ("", "The run stopped while computing: ValueError."),
        ("x" * 1000, f"The run stopped while computing: ValueError: {'x' * 300}."),
    ],
)
def test_a_message_is_cut_to_its_first_line(said, sentence):
    assert explain(ValueError(said)).message == sentence


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def test_an_error_whose_message_raises_is_still_named():
    assert explain(raised(Unprintable())).message == "The run stopped while computing: Unprintable."


def test_a_log_that_fails_does_not_hide_the_problem(monkeypatch):
    def broken(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr(failures._log, "error", broken)
    assert "no such head" in explain(ValueError("no such head")).message


# --- frames -------------------------------------------------------------------------------------------


class Thing:
    """Something a weak reference can point to."""


@pytest.mark.parametrize("error", [ValueError, Cancelled, InvalidTextError])
def test_frames_are_emptied_even_when_someone_keeps_the_traceback(error):
    kept, pinned = [], []

    def work():
        tensor = Thing()
        pinned.append(weakref.ref(tensor))
        raise error("no")

    try:
        work()
    except BaseException as problem:  # noqa: BLE001
        kept.append(problem.__traceback__)
        let_go(problem)
    assert pinned[0]() is None and kept[0] is not None


def test_causes_that_form_a_ring_are_walked_once():
    first, second = raised(ValueError("1")), raised(ValueError("2"))
    first.__cause__, second.__context__ = second, first
    let_go(first)
    assert first.__traceback__ is None and second.__traceback__ is None


# --- out of memory ------------------------------------------------------------------------------------


class FakeCuda:
    def __init__(self, available=True, broken=False):
        self.available, self.broken, self.emptied = available, broken, 0

    def is_initialized(self):
        return self.available

    def empty_cache(self):
        self.emptied += 1
        if self.broken:
            raise RuntimeError("device error")


class TorchOutOfMemory(RuntimeError):
    """Stands for torch.OutOfMemoryError."""


@pytest.fixture
def fake_torch(monkeypatch):
    torch = types.ModuleType("torch")
    torch.OutOfMemoryError = TorchOutOfMemory
    torch.cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", torch)
    return torch


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        OSError("Cannot allocate memory (os error 12)"),
    ],
)
@pytest.mark.parametrize("with_torch", [True, False])
def test_running_out_of_memory_says_what_to_do(monkeypatch, fake_torch, error, with_torch):
    if not with_torch:
        monkeypatch.delitem(sys.modules, "torch")
    explained = explain(error, "reading layer 3 of 30.")
    assert type(explained) is OutOfMemoryError
    assert explained.message == "The device ran out of memory while reading layer 3 of 30."
    assert explained.hint == (
        "Shorten the text, choose a lower precision, or unload the model and try a smaller one."
    )


def test_the_error_of_torch_is_known_without_importing_torch(fake_torch):
    explained = explain(TorchOutOfMemory("words that say nothing"))
    assert type(explained) is OutOfMemoryError
    assert explained.message == "The device ran out of memory while computing."


@pytest.mark.parametrize("error", [ValueError("out of memory"), RuntimeError("shapes do not match")])
def test_other_errors_are_not_taken_for_out_of_memory(fake_torch, error):
    assert type(explain(error)) is AnalysisError


def test_freeing_memory_empties_rings_and_the_device(fake_torch):
    tensor = Thing()
    tensor.itself = tensor  # only the garbage collector frees it
    watched = weakref.ref(tensor)
    gc.disable()
    try:
        del tensor
        free_memory()
    finally:
        gc.enable()
    assert watched() is None and fake_torch.cuda.emptied == 1


@pytest.mark.parametrize("cuda", [FakeCuda(available=False), FakeCuda(broken=True), None])
def test_freeing_memory_never_hurts(fake_torch, cuda):
    fake_torch.cuda = cuda
    free_memory()
    assert cuda is None or cuda.emptied == int(cuda.available)
