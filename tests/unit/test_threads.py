"""Work shared out over threads: every part once, each thread alone, the same numbers whatever their count."""

import subprocess
import sys
import threading

import pytest
import torch

from analysis.forward.threads import n_threads, share_out

CPU = torch.device("cpu")


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_every_part_is_done_once_by_one_of_the_threads(three_threads):
    done = []
    share_out(lambda part, thread: done.append((part, thread)), range(200), CPU)
    assert sorted(part for part, _ in done) == list(range(200))
    assert {thread for _, thread in done} <= {0, 1, 2} and n_threads(CPU) == 3


def test_threads_work_side_by_side_and_each_computes_alone(three_threads):
    met, seen = threading.Barrier(3), []

    def work(_part, thread):
        met.wait(60)  # all three are here at a time, or this breaks
        seen.append((thread, torch.get_num_threads()))

    share_out(work, range(3), CPU)
    assert sorted(seen) == [(0, 1), (1, 1), (2, 1)]
    assert torch.get_num_threads() == 3  # of the thread that asked


def test_no_more_threads_are_woken_than_there_are_parts(three_threads):
    done = []
    share_out(lambda part, thread: done.append((part, thread)), [], CPU)
    assert done == []
    share_out(lambda part, thread: done.append((part, thread)), ["one"], CPU)
    assert done == [("one", 0)]


def test_work_inside_work_is_done_by_its_thread(three_threads):
    inner = []

    def work(part, _thread):
        here = threading.get_ident()
        share_out(lambda p, thread: inner.append((p, thread, threading.get_ident() == here)), [part], CPU)

    share_out(work, range(9), CPU)
    assert sorted(inner) == [(part, 0, True) for part in range(9)]


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_threads_compute_in_the_mode_of_the_caller(three_threads, mode):
    seen = []
    with mode():
        expected = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        share_out(
            lambda _part, _thread: seen.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled())),
            range(20),
            CPU,
        )
    assert seen == [expected] * 20


def test_what_a_part_raises_comes_out_and_ends_the_work(three_threads):
    done, never = [], threading.Event()

    def work(part, _thread):
        if part == 5:
            raise RuntimeError("part 5")
        never.wait(1e-3)  # all of them would take half a minute
        done.append(part)

    with pytest.raises(RuntimeError, match="part 5"):
        share_out(work, range(100_000), CPU)
    assert len(done) < 100_000 - 1


def test_other_devices_are_left_to_one_thread(three_threads):
    done = []
    share_out(lambda part, thread: done.append((part, thread)), range(5), torch.device("meta"))
    assert done == [(part, 0) for part in range(5)]


PROGRAM = """
import hashlib, torch
from analysis.forward.attention import attend
from analysis.forward.visibility import AttentionSpan
generator = torch.Generator().manual_seed(0)
digest = hashlib.sha256()
for n, span in ((700, AttentionSpan()), (300, AttentionSpan(window=90))):
    query = torch.randn(6, n, 16, generator=generator)
    key, value = torch.randn(2, 2, n, 16, generator=generator)
    found = attend(query, key, value, scale=0.25, span=span)
    for part in (found.output, found.entropy, found.columns, found.first_key, found.mass):
        digest.update(part.contiguous().numpy().tobytes())
print(torch.get_num_threads(), digest.hexdigest())
"""


def test_attention_is_the_same_to_the_bit_with_one_thread_and_with_three(monkeypatch):
    found = {}
    monkeypatch.setenv("MKL_DYNAMIC", "FALSE")  # three threads on whatever machine
    for count in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", count)
        told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
        threads, found[count] = told.stdout.split()
        assert threads == count
    assert found["1"] == found["3"]
