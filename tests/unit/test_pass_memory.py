"""What a pass over a long text holds: no output that no gate waits for, and no memory that was freed."""

from __future__ import annotations

import platform
import weakref

import numpy as np
import psutil
import pytest
import torch

from analysis.forward import body_pass
from analysis.forward import recorder as recorder_module
from analysis.forward.body_pass import run_pass
from analysis.forward.recorder import Recorder
from analysis.models.memory import give_back_freed_memory, keep_freed_memory


def measured(model, on_layer=lambda _layer: None, n_tokens=40):
    """A measured pass and the statistics of its attention."""
    recorder = Recorder(tuple(range(model.info.n_layers)))
    with torch.inference_mode():
        measured = run_pass(model, torch.arange(n_tokens) % 290, [], on_layer, recorder)
    return measured, recorder.result()


def test_an_output_that_no_gate_waits_for_is_let_go(llama, monkeypatch):
    outputs, alive = [], []
    real = recorder_module.attend_call

    def attend(*args, **kwargs):
        attended = real(*args, **kwargs)
        outputs.append(weakref.ref(attended.output))
        return attended

    monkeypatch.setattr(recorder_module, "attend_call", attend)
    measured(llama, lambda _layer: alive.append(sum(output() is not None for output in outputs)))
    assert len(outputs) == llama.info.n_layers and alive == [0] * (llama.info.n_layers + 1)


def test_freed_memory_goes_back_where_states_are_large(llama, monkeypatch):
    """After each part of each layer, with the same numbers; not in short texts."""
    given = []
    monkeypatch.setattr(body_pass, "give_back_freed_memory", lambda: given.append(1))
    short, of_short = measured(llama)
    assert not given
    monkeypatch.setattr(body_pass, "LARGE_BYTES", 40 * llama.info.hidden_size * 4)
    long, of_long = measured(llama)
    parts = sum(len([*layer.children()]) + 1 for layer in llama.anatomy.layers)
    assert len(given) == parts
    monkeypatch.setattr(body_pass, "LARGE_BYTES", 40 * llama.info.hidden_size * 4 + 1)
    measured(llama)
    assert len(given) == parts
    assert torch.equal(short.final_states, long.final_states)
    np.testing.assert_array_equal(of_short.entropy, of_long.entropy)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_can_be_given_back():
    """64 MiB freed between blocks in use: the C library keeps it until it is asked."""
    keep_freed_memory()
    blocks = [torch.ones(1 << 18) for _ in range(128)]
    kept = blocks[1::2]
    del blocks
    resident = psutil.Process().memory_info().rss
    give_back_freed_memory()
    assert resident - psutil.Process().memory_info().rss > 32 << 20
    assert all(block[0] == 1 for block in kept)
