"""What a run is said to cost, against what it does cost."""

from __future__ import annotations

import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import analysis as an
from analysis.errors import OutOfMemoryError, TooLongError
from analysis.forward import attention, layer_spectra
from analysis.forward import plan as preflight
from analysis.forward.attention_support import AttentionSupport
from analysis.forward.single_spectra import shares_with_and_without_first
from analysis.models import memory
from analysis.models.speed import PARTS, Speed, needed_seconds
from analysis.models.tokenization import encode
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]

MEASURE = """
import sys, threading, time
import psutil
import analysis as an
from analysis.forward.plan import plan_run
folder, n, lens, attention = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "lens", sys.argv[4] == "True"
model = an.load_model(folder)
text = "\\x01" * n  # a byte without merges: a token each
an.trace(model, text[:40], lens=lens, attention=attention)
process, peak, stop = psutil.Process(), 0, threading.Event()
def sample():
    global peak
    while not stop.wait(0.0005):
        peak = max(peak, process.memory_info().rss)
thread = threading.Thread(target=sample)
before = process.memory_info().rss
thread.start()
run = an.trace(model, text, lens=lens, attention=attention)
stop.set()
thread.join()
assert (run.attention is not None) == attention
plan = plan_run(model, len(run.tokens), n_lens=len(run.spec.lens_layers), attention=attention)
print(len(run.tokens), plan.bytes_needed, peak - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "n", "lens", "attention"),
    [("llama", 1500, "plain", False), ("llama", 1500, "plain", True), ("llama", 1500, "lens", True),
     ("mistral", 3000, "plain", False), ("mistral", 3000, "plain", True),
     ("gpt_oss", 1200, "plain", False), ("gpt_oss", 1200, "plain", True)],
)  # fmt: skip
def test_bytes_planned_are_an_upper_bound_and_no_wild_one(family, n, lens, attention, tmp_path):
    from tests.tiny_models.families import save_tiny

    size = {
        "hidden_size": 512,
        "intermediate_size": 1536,
        "vocab_size": 8192,
        "max_position_embeddings": 4096,
    }
    planned, measured = planned_and_measured(save_tiny(family, tmp_path, **size), n, lens, attention)
    assert measured > 10 << 20, "nothing was measured"
    assert measured <= planned <= 3 * measured, (planned >> 20, measured >> 20)


def test_an_eager_attention_with_sinks_takes_four_matrices(tmp_path):
    """A small model and a long text, so that they are nearly all of it."""
    from tests.tiny_models.families import save_tiny

    folder = save_tiny("gpt_oss", tmp_path, max_position_embeddings=4096)
    planned, measured = planned_and_measured(folder, 3000, "plain", attention=False)
    assert measured <= planned <= 1.5 * measured, (planned >> 20, measured >> 20)


def planned_and_measured(folder, n, lens, attention):
    """Bytes of a run of so many tokens, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), str(n), lens, str(attention)],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    tokens, planned, measured = map(int, done.stdout.split())
    assert tokens == n
    return planned, measured


@pytest.mark.parametrize(
    ("n", "width"), [(512, 576), (1200, 512), (3000, 512), (8192, 576), (300, 2048), (1500, 2048)]
)
def test_the_spectra_of_a_layer_take_what_is_planned_for_them(n, width):
    """How many layers' overlap depends on the machine; what one takes does not. Rows that repeat take most."""
    values = np.random.default_rng(0).normal(size=(n, width)).astype(np.float32)
    values[1] = values[0]
    peaks = []
    for reduce in (layer_spectra._mean_angles, shares_with_and_without_first):
        tracemalloc.start()
        reduce(values)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    measured = values.nbytes + max(peaks)
    planned = preflight._spectra_bytes(n, width, on_cuda=False) / layer_spectra.WAITING
    assert measured <= planned <= 2.5 * measured, (int(planned) >> 20, measured >> 20)


@pytest.mark.parametrize("n", [700, 3000, 40_000])
def test_every_thread_is_planned_for_with_blocks_of_its_own(llama, n, monkeypatch):
    config, cpu = llama.model.config, torch.device("cpu")
    per_group = config.num_attention_heads // config.num_key_value_heads
    parts = attention.blocks(n, per_group, attention.CAUSAL, cpu)
    largest = per_group * max(len(rows) * len(keys) for rows, keys in parts)
    one_thread = attention.Room().places(largest, cpu)[0].nbytes
    needed = {}
    for threads in (1, 3):
        monkeypatch.setattr(preflight, "n_threads", lambda _device, threads=threads: threads)
        needed[threads] = preflight.plan_run(llama, n).bytes_needed
    assert one_thread <= (needed[3] - needed[1]) / 2 <= 2.5 * one_thread


def bytes_at(model, n, **options):
    return preflight.plan_run(model, n, **options).bytes_needed


def test_bytes_grow_linearly_with_the_length(llama):
    """Past the first full block of logits, twice the text is twice the bytes on top."""
    start = 100_000
    steps = [bytes_at(llama, start * k) for k in (1, 2, 3, 5)]
    assert steps[1] - steps[0] == pytest.approx(steps[2] - steps[1], rel=1e-3)
    assert steps[3] - steps[0] == pytest.approx(4 * (steps[1] - steps[0]), rel=1e-3)
    assert all(np.diff([bytes_at(llama, n) for n in range(1, 3000, 37)]) > 0)


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gpt_oss"])
def test_windows_and_eager_attention_cost_a_matrix_and_measuring_never_does(load_tiny, family):
    model = load_tiny(family)
    own = [bytes_at(model, n, attention=False) for n in (100_000, 200_000)]
    measured = [bytes_at(model, n) for n in (100_000, 200_000)]
    assert own[1] / own[0] == pytest.approx(4, rel=0.1)
    assert measured[1] / measured[0] < 2.01 and measured[0] < own[0]


def test_a_model_that_cannot_be_measured_costs_what_its_own_attention_costs(fresh_llama):
    assert bytes_at(fresh_llama, 5000) > bytes_at(fresh_llama, 5000, attention=False)
    fresh_llama.found[AttentionSupport] = AttentionSupport(reason="It cannot.")
    assert bytes_at(fresh_llama, 5000) == bytes_at(fresh_llama, 5000, attention=False)


def test_reading_in_windows_costs_the_window(llama):
    whole, windowed = bytes_at(llama, 100_000), bytes_at(llama, 100_000, window=2000, stride=1000)
    assert windowed < whole
    assert bytes_at(llama, 100_000, n_lens=3) > whole


def test_flops_by_hand(llama):
    plan = preflight.plan_run(llama, 100, n_lens=2, attention=False)
    body = llama.info.n_parameters - 320 * 64
    assert plan.flops_body == 2 * body * 100 + 2 * 2 * 64 * 100**2
    assert plan.flops_head == 2 * 320 * 64 * 100
    assert plan.flops_lens == 3 * plan.flops_head  # two layers and the output they are compared with
    assert plan.flops == plan.flops_body + plan.flops_head + plan.flops_lens
    assert plan.seconds == pytest.approx(llama.speed.seconds(plan.work))
    assert plan.work["body"] == pytest.approx(2 * body * (100 + 32) + 2 * 2 * 64 * 100**2)
    assert plan.work["head"] == 2 * 320 * 64 * (100 + 16) + plan.flops_lens and plan.work["attention"] == 0
    assert preflight.plan_run(llama, 100).flops_lens == 0
    measured = preflight.plan_run(llama, 100)
    pairs = 2 * 2 * 64 * 100**2  # two products of 100 x 100 with width 64, halved by causality, in 2 layers
    assert measured.flops_body - plan.flops_body == pytest.approx((preflight._MEASURED_ATTENTION - 1) * pairs)
    assert measured.work["attention"] == pytest.approx(
        preflight._MEASURED_ATTENTION * pairs + 860 * 2 * 64 * (100 + 350)
    )
    assert measured.work["body"] == pytest.approx(2 * body * (100 + 32))
    # 3 layers; products of 100 rows of width 64 on the side of 64, twice; two decompositions; preparation
    one = 2 * 100 * 64 * 64 + 2 * 4 / 3 * 64**3 * 3.5 + (100 + 64) * 64 * 1500
    assert measured.work["spectra"] == pytest.approx(3 * one)
    assert preflight.plan_run(llama, 100, n_spectra=4).work["spectra"] == pytest.approx(12 * one)
    assert preflight.plan_run(llama, 100, window=50, stride=50).work["spectra"] == 0


def test_passes_are_counted_as_they_are_made(llama):
    from analysis.forward.windows import plan_windows

    tokens = encode(llama.tokenizer, "\x01" * 500)
    for window, stride in [(100, 50), (100, 99), (64, 7), (499, 1), (500, 3)]:
        windows = plan_windows(llama, tokens, window, stride)
        plan = preflight.plan_run(llama, 500, window=window, stride=stride)
        once = preflight.plan_run(llama, window, attention=len(windows) == 1)
        assert plan.flops_body == pytest.approx(len(windows) * once.flops_body)


# Refusals ---------------------------------------------------------------------------------------------


@pytest.fixture
def free(monkeypatch):
    """Pretend that so many bytes are free."""

    def pretend(n_bytes):
        for module in (preflight, memory):
            monkeypatch.setattr(module, "free_bytes", lambda _device: n_bytes)

    return pretend


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("n_lens", [0, 3])
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
@pytest.mark.parametrize("mib", [3, 20, 500, 4000])
def test_the_largest_length_fits_and_one_more_does_not(load_tiny, free, family, n_lens, mib, attention):
    model = load_tiny(family)
    free(mib << 20)
    most = preflight.largest_length(model, n_lens=n_lens, attention=attention)
    assert most > 0

    def plan(n):
        return preflight.plan_run(model, n, n_lens=n_lens, attention=attention)

    assert plan(most).fits
    assert not plan(most + 1).fits
    preflight.require_fit(model, plan(most), n_lens=n_lens, attention=attention)
    with pytest.raises(TooLongError) as caught:
        preflight.require_fit(model, plan(most + 1), n_lens=n_lens, attention=attention)
    assert f"Up to {most:,} tokens" in caught.value.hint


def test_in_windows_the_largest_length_is_without_attention(llama, free):
    free(20 << 20)
    most = preflight.largest_length(llama, window=500)
    assert most == preflight.largest_length(llama, window=500, attention=False) > 500
    assert preflight.plan_run(llama, most, window=500, stride=250).fits
    assert not preflight.plan_run(llama, most + 1, window=500, stride=250).fits


@pytest.mark.parametrize("attention", [True, False])
def test_a_run_that_would_not_fit_is_refused_with_the_length_that_would(llama, free, attention):
    free(2 << 20)
    text = "\x01" * 1500
    with pytest.raises(TooLongError) as caught:
        an.trace(llama, text, attention=attention)
    assert "1,500 tokens" in caught.value.message and "GiB" in caught.value.message
    most = int(re.search(r"Up to ([\d,]+) tokens", caught.value.hint)[1].replace(",", ""))
    assert 10 < most < 1500
    assert len(an.trace(llama, "\x01" * most, attention=attention).tokens) == most
    with pytest.raises(TooLongError):
        an.trace(llama, "\x01" * (most + 1), attention=attention)
    with pytest.raises(TooLongError) as caught:
        an.trace(llama, text, lens=True, attention=attention)
    assert "fewer lens layers" in caught.value.hint


def test_weights_that_do_not_fit(free):
    free(1 << 30)
    memory.require_weights_fit(1 << 30, torch.device("cpu"), "m")
    with pytest.raises(OutOfMemoryError, match=r"m need 3\.0 GiB and 1\.0 GiB are free"):
        memory.require_weights_fit(3 << 30, torch.device("cpu"), "m")


def test_free_memory_is_what_the_smaller_limit_leaves(monkeypatch):
    import psutil

    cpu = torch.device("cpu")
    assert 0 < memory.free_bytes(cpu) <= psutil.virtual_memory().total
    files = {"/sys/fs/cgroup/memory.max": "1000", "/sys/fs/cgroup/memory.current": "400"}
    monkeypatch.setattr(memory.Path, "read_text", lambda self: files[str(self)])
    assert memory.free_bytes(cpu) == 600
    files["/sys/fs/cgroup/memory.current"] = "2000"
    assert memory.free_bytes(cpu) == 0
    files["/sys/fs/cgroup/memory.max"] = "max"
    assert memory.free_bytes(cpu) > 1 << 20

    def missing(_self):
        raise FileNotFoundError

    monkeypatch.setattr(memory.Path, "read_text", missing)
    assert memory.free_bytes(cpu) > 1 << 20


# Speed ------------------------------------------------------------------------------------------------


def test_speed_learns_from_runs():
    speed = Speed(1e9)
    assert speed.of("body") == pytest.approx(8e8) and speed.of("head") == pytest.approx(6e8)
    speed.learn({"body": 4e9, "head": 0.0}, {"body": 2.0, "head": 1.0})  # the first run replaces the guess
    assert speed.of("body") == 2e9 and speed.n_runs == 1
    assert speed.of("head") == pytest.approx(6e8 * 2e9 / 8e8)  # as far from its guess as what was shown
    assert speed.seconds({"body": 1e9, "attention": 0.0}) == 0.5
    for seconds in (2.2, 20.0, 1.9):  # one slow run among others changes little
        speed.learn({"body": 4e9}, {"body": seconds})
    assert speed.of("body") == pytest.approx((4e9 / 2.2 + 2e9) / 2)
    for _ in range(5):
        speed.learn({"body": 1e9}, {"body": 1.0})
    assert speed.of("body") == 1e9  # the last five count
    speed.learn({"body": 1e9}, {"body": 0.0})
    assert speed.of("body") == 1e9


def test_a_loaded_machine_is_not_a_slow_one(monkeypatch):
    """CPU seconds bound what a run needed; on CUDA they say nothing."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    cpu = torch.device("cpu")
    assert needed_seconds(1.0, 1.9, cpu) == 1.0
    assert needed_seconds(10.0, 2.0, cpu) == 1.25
    assert needed_seconds(10.0, 2.0, torch.device("cuda")) == 10.0


def test_the_machine_is_measured_once_in_a_process(monkeypatch):
    from analysis.models import speed as module

    products = []

    class Square:
        def __matmul__(self, _other):
            products.append(1)

    monkeypatch.setattr(torch, "ones", lambda *_shape, **_kind: Square())
    module._product_speed.cache_clear()
    try:
        ticks = iter(np.arange(100) * 0.01)
        clock = SimpleNamespace(perf_counter=lambda: next(ticks), process_time=lambda: 0.0)
        monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(module, "needed_seconds", lambda wall, _cpu, _device: wall)
        first = Speed.measure(torch.device("cpu"), torch.float32)
        assert first.product == pytest.approx(2 * 512**3 / 0.01)
        assert len(products) == 2  # 20 ms each with the looks at the clock: then 50 ms are over
        assert Speed.measure(torch.device("cpu"), torch.float32).product == first.product
        assert len(products) == 2
    finally:
        module._product_speed.cache_clear()


def test_a_run_teaches_the_model_s_speed(fresh_llama, monkeypatch):
    taught = []
    monkeypatch.setattr(Speed, "learn", lambda _self, *what: taught.append(what))
    run = an.trace(fresh_llama, "some text here " * 20, lens=True)
    ((work, seconds),) = taught
    assert work == preflight.plan_run(fresh_llama, len(run.tokens), n_lens=3).work
    assert set(seconds) == set(work) == set(PARTS) and all(spent > 0 for spent in seconds.values())
    assert seconds["body"] + seconds["attention"] + seconds["spectra"] <= run.seconds["body"] * (1 + 1e-9)
    assert seconds["head"] <= run.seconds["head"] + run.seconds["lens"]
    an.trace(fresh_llama, "some text here", attention=False, spectra=False)
    work, seconds = taught[-1]
    assert work["attention"] == work["spectra"] == seconds["attention"] == seconds["spectra"] == 0


def test_a_stopped_run_teaches_nothing(fresh_llama):
    def stop(share, _what):
        if share > 0.3:
            raise an.Cancelled

    with pytest.raises(an.Cancelled):
        an.trace(fresh_llama, "some text here", on_progress=stop)
    assert fresh_llama.speed.n_runs == 0


def test_the_plan_is_a_plain_value(llama):
    plan = preflight.plan_run(llama, 100)
    assert plan.fits and not replace(plan, bytes_free=plan.bytes_needed).fits
    assert replace(plan, bytes_free=int(plan.bytes_needed / 0.9) + 1).fits
