"""What a comparison will cost, and that it is refused before anything is loaded."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

import analysis as an
from analysis.comparison import compare as comparing
from analysis.comparison import plan as planning
from analysis.comparison.plan import WAYS, stored_weights
from analysis.comparison.waiting import on_host
from analysis.errors import OutOfMemoryError
from analysis.models.spec import ModelSpec

TEXT = "the tin in the inn is thin and the hen is in it"


def test_ways_are_told_apart(llama, tiny_folder):
    folder = str(tiny_folder("gemma2"))
    plain, front = an.Side(llama, TEXT), an.Side(llama, TEXT, before="oh, ")
    found = {
        "one model": an.plan_comparison(plain, front),
        "both loaded": an.plan_comparison(plain, an.Side(folder, TEXT)),
        "one after the other": an.plan_comparison(
            an.Side(str(tiny_folder("llama")), TEXT), an.Side(folder, TEXT)
        ),
    }
    for way, plan in found.items():
        assert plan.way == way and plan.fits and WAYS[way].endswith(".")
    assert found["one model"].n_tokens == 2 * len(llama.tokenizer(TEXT)["input_ids"]) + len(
        llama.tokenizer("oh, " + TEXT)["input_ids"]
    ) - len(llama.tokenizer(TEXT)["input_ids"])
    assert found["both loaded"].bytes_needed > found["one model"].bytes_needed
    assert found["one after the other"].seconds is None and found["one model"].seconds > 0


def test_a_run_that_exists_costs_nothing(llama):
    run = an.trace(llama, TEXT)
    whole = an.plan_comparison(an.Side(llama, TEXT), an.Side(llama, TEXT, before="oh, "))
    half = an.plan_comparison(an.Side(llama, TEXT, trace=run), an.Side(llama, TEXT, before="oh, "))
    assert half.n_tokens < whole.n_tokens and half.seconds < whole.seconds
    files = an.plan_comparison(an.Side(None, trace=run), an.Side(None, trace=run))
    assert files.way == "one model" and files.n_tokens == 0


def test_weights_are_counted_from_the_files(llama, tiny_folder):
    folder = tiny_folder("llama")
    assert stored_weights(ModelSpec(str(folder))) == 4 * llama.info.n_parameters
    assert stored_weights(ModelSpec(str(folder), dtype="bfloat16")) == 2 * llama.info.n_parameters
    assert stored_weights(ModelSpec("no-such/model")) is None
    assert stored_weights(ModelSpec("/no/such/file.gguf")) is None


@pytest.mark.parametrize(
    ("settings", "width"),
    [({"untrained": True}, 4), ({"precision": "bfloat16"}, 2), ({"rounded": "4-bit"}, 0)],
)
def test_second_weights_of_one_model(llama, settings, width):
    plain = an.plan_comparison(an.Side(llama, TEXT), an.Side(llama, TEXT, bos="always"))
    plan = an.plan_comparison(an.Side(llama, TEXT), an.Side(llama, TEXT, **settings))
    assert plan.way == ("both loaded" if width else "one model")
    near = abs(plan.bytes_needed - plain.bytes_needed - width * llama.info.n_parameters)
    assert near < 0.2 * plain.bytes_needed


def test_what_does_not_fit_is_refused_before_anything_is_loaded(llama, tiny_folder, monkeypatch):
    from analysis.comparison import sides

    monkeypatch.setattr(planning, "free_bytes", lambda _device: 1 << 20)
    monkeypatch.setattr(sides, "load_model", lambda _spec: pytest.fail("it was loaded"))
    with pytest.raises(OutOfMemoryError, match="nothing was loaded or dropped"):
        an.compare(an.Side(llama, TEXT), an.Side(str(tiny_folder("gemma2")), TEXT))


def test_on_a_device_the_first_model_waits_on_the_host(llama, tiny_folder, monkeypatch):
    """As an accelerator would be planned; here its place is the CPU all the time."""
    monkeypatch.setattr(planning, "_can_wait", lambda side: side.model is llama)
    side = an.Side(str(tiny_folder("gemma2")), TEXT)
    needed = an.plan_comparison(an.Side(llama, TEXT), side).bytes_needed
    monkeypatch.setattr(
        planning, "free_bytes", lambda _device: int(needed / 0.9) - llama.info.bytes_held // 2
    )
    plan = an.plan_comparison(an.Side(llama, TEXT), side)
    assert plan.way == "A waits" and plan.fits
    order = []

    @contextmanager
    def waits(model):
        order.append("away")
        with on_host(model):
            yield
        order.append("back")

    monkeypatch.setattr(comparing, "on_host", waits)
    c = an.compare(an.Side(llama, TEXT), side)
    assert order == ["away", "back"] and c.rows is not None
    assert llama.anatomy.head.weight is llama.model.get_output_embeddings().weight


def test_a_model_comes_back_from_the_host_whatever_happens(llama, monkeypatch):
    moved = []
    monkeypatch.setattr(type(llama.model), "to", lambda _self, place: moved.append(str(place)))
    with pytest.raises(KeyError), on_host(llama):
        raise KeyError
    assert moved == ["cpu", "cpu"]


def test_a_model_on_the_cpu_cannot_wait_elsewhere(llama):
    assert not planning._can_wait(an.Side(llama, TEXT))
    assert not planning._can_wait(an.Side("embedded", TEXT))
