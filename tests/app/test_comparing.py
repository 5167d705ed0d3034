"""Comparisons through the worker: A's run is used again, B goes when it is done, and errors leave A loaded."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

import analysis as an
from analysis.comparison import measured, sides
from analysis.comparison import plan as planning
from analysis.errors import AnalysisError, OutOfMemoryError
from analysis.models.spec import ModelSpec
from app.compute import comparing
from app.compute import requests as runs
from app.compute.comparing import Change, CompareRequest, estimate_comparison, submit_comparison
from tests.patience import PATIENCE
from tests.tiny_models.families import save_tiny

TEXT = "the tin in the inn is thin and the hen is in it"
RUN = runs.RunRequest(ModelSpec(), TEXT)


@pytest.fixture(autouse=True)
def _tiny(loads, monkeypatch):
    """The embedded model is a tiny one, and all requests come from one tab."""
    monkeypatch.setattr(runs, "owner", lambda: "tab")


@pytest.fixture
def texts(monkeypatch):
    """How often a comparison lets a model read."""
    read = []
    for name in ("trace", "trace_ids", "evicted_trace"):
        really = getattr(measured, name)

        def counted(*args, really=really, **options):
            read.append(really.__name__)
            return really(*args, **options)

        monkeypatch.setattr(measured, name, counted)
    return read


def finished(job):
    assert job.wait(PATIENCE)
    assert job.error is None, job.error
    return job.result


CHANGES = {
    "before": Change("before", (("text", "on the moor "),)),
    "bos": Change("bos", (("bos", "always"),)),
    "text": Change("text", (("text", "the tin in the den is thin and the hen is in it"),)),
    "precision": Change("precision", (("dtype", "bfloat16"),)),
    "rounded": Change("rounded", (("grid", "4-bit"),)),
    "untrained": Change("untrained"),
    "visibility": Change("visibility", (("window", 4), ("sinks", 1))),
    "eviction": Change("eviction", (("method", "knorm"), ("kept", 0.5))),
}


@pytest.mark.parametrize("kind", sorted(CHANGES))
def test_the_run_on_screen_is_side_a_and_is_not_made_again(kind, texts, monkeypatch):
    if kind == "precision":  # the embedded model is a tiny one here, whatever its precision
        monkeypatch.setattr(
            sides, "load_model", lambda spec: an.load_model(ModelSpec(spec.source, dtype=spec.dtype))
        )
    run = finished(runs.submit(RUN))
    c = finished(submit_comparison(CompareRequest(RUN, CHANGES[kind])))
    assert len(texts) == 1 and c.rows is not None
    np.testing.assert_array_equal(c.a.tokens.surprisal, run.tokens.surprisal)
    assert kind == "precision" or len(c.differs) == 1


def test_the_same_request_is_computed_once_and_others_have_other_keys(texts):
    requests = [CompareRequest(RUN, change) for change in CHANGES.values()]
    assert len({request.key for request in requests}) == len(requests)
    other = CompareRequest(runs.RunRequest(ModelSpec(), TEXT + "."), CHANGES["bos"])
    assert other.key != CompareRequest(RUN, CHANGES["bos"]).key
    first, second = (submit_comparison(CompareRequest(RUN, CHANGES["bos"])) for _ in range(2))
    assert first is second and finished(first) is finished(second) and len(texts) == 1


def test_a_run_that_the_page_has_is_taken_and_one_that_nobody_has_is_made(texts, llama):
    c = finished(submit_comparison(CompareRequest(RUN, CHANGES["bos"])))
    assert len(texts) == 1, "side A is read as the page reads it, by a request's own function"
    run = an.trace(llama, TEXT)
    d = finished(submit_comparison(CompareRequest(RUN, CHANGES["before"]), a=run))
    assert d.a.final_states is run.final_states and len(texts) == 2
    np.testing.assert_array_equal(c.a.tokens.surprisal, d.a.tokens.surprisal)


def test_another_model_is_loaded_beside_and_dropped(tmp_path, monkeypatch, llama):
    alive = []
    really = sides.load_model

    def load(spec):
        model = really(spec)
        alive.append(weakref.ref(model.model))
        return model

    monkeypatch.setattr(sides, "load_model", load)
    folder = str(save_tiny("llama", tmp_path / "other", seed=1))
    request = CompareRequest(RUN, Change("model", (("source", folder), ("revision", None))))
    assert estimate(request, llama).way == "both loaded"
    c = finished(submit_comparison(request))
    gc.collect()
    assert len(alive) == 1 and alive[0]() is None, "the second model is gone"
    assert runs.engine().model_slot.spec == ModelSpec() and c.b.spec.source == folder
    assert c.rows is not None


def estimate(request, llama):
    finished(runs.submit(RUN))
    return estimate_comparison(request)


def test_an_estimate_needs_the_loaded_model_and_counts_what_is_to_be_read(llama):
    request = CompareRequest(RUN, CHANGES["before"])
    with pytest.raises(AnalysisError, match="not loaded yet"):
        estimate_comparison(request)
    finished(runs.submit(RUN))
    plan = estimate_comparison(CompareRequest(RUN, CHANGES["rounded"]))
    assert plan.fits and plan.way == "one model" and plan.seconds > 0
    assert plan.n_tokens == len(llama.tokenizer(TEXT)["input_ids"])


def test_memory_that_runs_out_leaves_the_first_model_loaded(tmp_path, monkeypatch):
    finished(runs.submit(RUN))
    model = runs.engine().model_slot.info

    def full(_spec):
        raise OutOfMemoryError("The weights need 9 GiB.", "Choose a smaller model.")

    monkeypatch.setattr(sides, "load_model", full)
    folder = str(save_tiny("llama", tmp_path / "other", seed=1))
    job = submit_comparison(CompareRequest(RUN, Change("model", (("source", folder),))))
    assert job.wait(PATIENCE) and job.state == "failed"
    assert job.error.message == "Side B: The weights need 9 GiB. Side A stays loaded."
    assert runs.engine().model_slot.info is model and runs.find(RUN).state == "done"


def test_where_two_models_do_not_fit_the_first_goes_for_the_second(tmp_path, monkeypatch, llama):
    finished(runs.submit(RUN))
    folder = str(save_tiny("llama", tmp_path / "other", seed=1))
    request = CompareRequest(RUN, Change("model", (("source", folder),)))
    order = []

    def load(spec):
        order.append(spec.source)
        return an.load_model(spec)

    monkeypatch.setattr(sides, "load_model", load)
    slot = runs.engine().model_slot
    monkeypatch.setattr(llama, "info", replace(llama.info, bytes_held=1 << 40))
    monkeypatch.setattr(planning, "free_bytes", lambda _device: 0 if slot.info is not None else 1 << 40)
    c = finished(submit_comparison(request))
    assert order == [llama.spec.source, folder] and c.rows is not None and slot.spec is None


def test_a_model_that_is_not_there_is_one_sentence_and_the_first_stays(tmp_path):
    finished(runs.submit(RUN))
    job = submit_comparison(CompareRequest(RUN, Change("model", (("source", str(tmp_path / "none")),))))
    assert job.wait(PATIENCE) and job.state == "failed" and "no folder" in job.error.message
    assert runs.engine().model_slot.spec == ModelSpec()


def test_it_stops_within_a_layer_when_nobody_waits(monkeypatch):
    finished(runs.submit(RUN))
    reached, go = threading.Event(), threading.Event()
    really = measured.trace

    def held(*args, on_progress, **options):
        def report(share, what):
            reached.set()
            assert go.wait(PATIENCE)
            on_progress(share, what)

        return really(*args, on_progress=report, **options)

    monkeypatch.setattr(measured, "trace", held)
    job = submit_comparison(CompareRequest(RUN, CHANGES["rounded"]))
    assert reached.wait(PATIENCE)
    runs.cancel(job.key)
    go.set()
    assert job.wait(PATIENCE) and job.state == "cancelled" and job.result is None
    monkeypatch.setattr(measured, "trace", really)
    again = finished(submit_comparison(CompareRequest(RUN, CHANGES["bos"])))
    assert again.rows is not None, "the model is as it was"


def test_opened_files_are_compared(llama, texts):
    one, two = an.trace(llama, TEXT), an.trace(llama, TEXT, bos="always")
    file = Change("file", (("sha", comparing.id_of(two)),))
    without = finished(submit_comparison(CompareRequest(None, file, comparing.id_of(one)), a=one, b=two))
    assert without.rows is None and "not at hand" in without.unavailable["rows"] and texts == []
    finished(runs.submit(RUN))
    with_head = finished(submit_comparison(CompareRequest(RUN, file), b=two))
    assert with_head.rows is not None and texts == []
    assert comparing.id_of(one) != comparing.id_of(two)


def test_a_file_that_is_gone_and_a_side_without_a_model_are_said(llama):
    one = an.trace(llama, TEXT)
    gone = submit_comparison(CompareRequest(RUN, Change("file", (("sha", "x"),))))
    assert gone.wait(PATIENCE) and "not there any more" in gone.error.message
    runs.unload()
    job = submit_comparison(CompareRequest(None, CHANGES["bos"], "opened"), a=one)
    assert job.wait(PATIENCE) and "no model is loaded" in job.error.message


def test_nothing_changed_is_said(texts):
    finished(runs.submit(RUN))
    c = finished(submit_comparison(CompareRequest(RUN, Change("bos", (("bos", "auto"),)))))
    assert texts == [] and c.differs == () and "nothing differs" in c.notes[0]
