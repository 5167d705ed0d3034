"""What costs a run and what does not; queues, stopping, unloading, files, and closed tabs."""

from __future__ import annotations

import gc
import io
import threading
import weakref

import pytest
from streamlit.runtime import caching

from analysis.errors import AnalysisError
from analysis.results.trace_file import trace_bytes
from app import state
from app.compute import requests as runs
from app.examples import EXAMPLES
from app.widgets import report_button, trace_files
from tests.app.conftest import text_field
from tests.app.test_pages import n_strips, press_run, result, texts, unescaped
from tests.patience import PATIENCE
from tests.tiny_models.families import save_tiny


def run_keys(submitted):
    return [key for key in submitted if key.startswith("run/")]


# What costs a run ---------------------------------------------------------------------------------


def test_looking_differently_costs_nothing(open_page, finish, submitted, loads):
    at = finish(open_page("token_entropy"))
    assert len(run_keys(submitted)) == 1
    at.segmented_control(key=state.UNIT).set_value("bits")
    at = at.run()
    at.selectbox(key=state.QUANTITY).set_value("varentropy")
    at = at.run()
    at.slider(key=state.FORKING_SHARE).set_value(0.4)
    at = at.run()
    at.toggle(key=state.SHOW_WINDOWS).set_value(True)
    at = at.run()
    at.toggle(key=state.THRESHOLD).set_value(False)
    at = at.run()
    for view in ("lens", "scatter", "text"):
        at = at.segmented_control(key=state.ENTROPY_VIEW).set_value(view).run()
        assert not at.exception
    assert at.selectbox(key=state.QUANTITY).value == "varentropy", "a view gives back what was set in it"
    assert at.slider(key=state.FORKING_SHARE).value == 0.4 and not at.toggle(key=state.THRESHOLD).value
    at = at.switch_page("../pages/overview.py").run()
    at = at.switch_page("../pages/token_entropy.py").run()
    at = press_run(at)  # the same request
    assert not at.exception
    assert len(run_keys(submitted)) == 1 and len(loads) == 1


def test_typing_costs_nothing_until_run(open_page, finish, submitted):
    at = finish(open_page("token_entropy"))
    text_field(at, state.TEXT).set_value("Some other text that nobody has read yet.")
    at = at.run()
    at.selectbox(key=state.BOS).set_value("never")
    at = at.run()
    assert len(run_keys(submitted)) == 1
    assert len(result(at).tokens) > 100, "the old run stays on screen"
    at = finish(press_run(at))
    assert len(run_keys(submitted)) == 2 and result(at).text.startswith("Some other text")


def test_the_panel_of_a_token_is_asked_for_once(open_page, finish, submitted):
    at = finish(open_page("token_entropy", token="5"))
    assert not [key for key in submitted if key.startswith("samplers/")], "folded, they cost nothing"
    at.session_state[state.SAMPLERS] = True
    at = at.run()
    asked = [key for key in submitted if key.startswith("samplers/")]
    assert len(asked) == 1 and asked[0].endswith("/5")
    at = at.run()
    at.segmented_control(key=state.UNIT).set_value("bits")
    at = at.run()
    assert [key for key in submitted if key.startswith("samplers/")] == asked
    at.session_state["entropy_strip"] = {"token": 9}
    at = at.run()
    assert "**Token 9 “" in texts(at)
    assert [key for key in submitted if key.startswith("samplers/")][1:] == [asked[0][:-1] + "9"]


def test_a_click_in_the_scatter_chooses_the_token(open_page, finish):
    at = finish(open_page("token_entropy", entropy="scatter"))
    at.session_state["scatter_chart"] = {"selection": {"pick": [{"position": 11}]}}
    at = at.run()
    assert not at.exception and "**Token 11 “" in texts(at)


def test_the_neighbours_of_a_token_are_one_press_away(open_page, finish):
    at = finish(open_page("token_entropy", token="5"))
    at = at.button(key="token_right").click().run()
    assert "**Token 6 “" in texts(at) and at.session_state[state.TOKEN] == 6
    at = at.button(key="token_left").click().run().button(key="token_left").click().run()
    assert "**Token 4 “" in texts(at)
    at = finish(open_page("token_entropy", token="0"))
    assert at.button(key="token_left").disabled and "expected nothing here" in texts(at)


def test_a_new_text_keeps_a_token_that_exists(open_page, finish):
    at = finish(open_page("token_entropy", token="200"))
    assert at.session_state[state.TOKEN] == 200
    at = finish(press_run(at, "Short one."))
    assert not at.exception and 0 <= at.session_state[state.TOKEN] < len(result(at).tokens)


def test_a_text_of_two_tokens_has_a_page(open_page, finish):
    at = finish(press_run(finish(open_page("token_entropy")), "ab"))
    assert not at.exception and not at.error
    assert len(result(at).tokens) == 2
    assert "not available %" not in texts(at)


def test_hostile_text_is_only_text(open_page, finish):
    hostile = "<img src=x onerror=alert(1)> ![](https://evil.example/x.png) $x$ :red[no] **b**"
    at = finish(press_run(finish(open_page("token_entropy", token="3")), hostile))
    assert not at.exception
    read_as_markdown = "\n".join(str(element.value) for element in [*at.markdown, *at.caption])
    assert "![" not in read_as_markdown and "<img" not in read_as_markdown
    assert all(not element.allow_html for element in [*at.markdown, *at.caption])


# The lens -----------------------------------------------------------------------------------------


@pytest.fixture
def with_lens(dear_lens, open_page, finish):
    """The view of the lens of a run that had to be asked for it."""
    at = finish(open_page("token_entropy", entropy="lens", token="20", lens_step="every layer"))
    at.button(key="lens_button").click()
    return finish(at.run())


def picked(at, key, cell):
    """The page after a click on a cell of a map."""
    at.session_state[key] = {"cell": [cell, at.session_state[state.strip_selection(key)].revision]}
    return at.run()


def n_maps(at):
    return len(at.get("bidi_component"))


def test_the_lens_runs_when_asked_and_stays(dear_lens, open_page, finish, submitted):
    at = finish(open_page("token_entropy", entropy="lens"))
    assert n_maps(at) == 0
    at.selectbox(key=state.LENS_STEP).set_value(1)
    at = at.run()
    at.button(key="lens_button").click()
    at = finish(at.run())
    assert not at.exception and n_maps(at) == 2
    assert len(run_keys(submitted)) == 2
    at.segmented_control(key=state.UNIT).set_value("bits")
    at = at.run().run()
    assert n_maps(at) == 2, "a rerun must not lose the layers that were chosen"
    for kind in ("kl", "rank"):
        at = at.segmented_control(key=state.LENS_QUANTITY).set_value(kind).run()
        assert not at.exception and n_maps(at) == 2
    for view in ("text", "scatter", "lens"):
        at = at.segmented_control(key=state.ENTROPY_VIEW).set_value(view).run()
    assert n_maps(at) == 2 and at.segmented_control(key=state.LENS_QUANTITY).value == "rank"
    assert len(run_keys(submitted)) == 2


def test_a_cheap_lens_comes_with_the_run(open_page, finish, submitted):
    at = finish(open_page("token_entropy", entropy="lens"))
    assert not at.exception and n_maps(at) > 0 and len(run_keys(submitted)) == 1
    assert not [b for b in at.button if b.key == "lens_button"]
    spec = result(at).spec
    assert spec.lens_layers == tuple(range(spec.n_layers + 1))


def test_a_cell_of_the_lens_chooses_token_and_layer(with_lens):
    at = with_lens
    n_layers = result(at).spec.n_layers
    assert at.session_state[state.LENS_FIRST] == 15, "the chosen token in the middle of 11"
    at = picked(at, state.LENS_WINDOW, 2 * 11 + 3)
    assert at.session_state[state.TOKEN] == 18 and at.session_state[state.LAYER] == n_layers - 2
    assert at.session_state[state.LENS_FIRST] == 15 and "**Token 18 “" in texts(at)
    at = at.button(key="token_right").click().run()
    assert at.session_state[state.TOKEN] == 19 and at.session_state[state.LAYER] == n_layers - 2


def test_the_bar_of_the_lens_moves_the_window(with_lens):
    at = with_lens
    n = len(result(at).tokens)
    at = picked(at, state.LENS_BAR, n - 1)
    assert at.session_state[state.TOKEN] == n - 1 and at.session_state[state.LENS_FIRST] == n - 11
    assert not at.exception


def test_a_cancelled_lens_can_be_asked_for_again(dear_lens, open_page, finish, blocked):
    at = open_page("token_entropy", entropy="lens")
    blocked.set()
    at = finish(at)
    gate, began = threading.Event(), threading.Event()
    worker = runs.engine().worker

    def work(job):
        began.set()
        gate.wait(PATIENCE)

    worker.submit("second blocker", work, owner="somebody else")
    assert began.wait(PATIENCE)
    at.button(key="lens_button").click()
    at = at.run()
    lens = [job for key, job in worker._jobs.items() if key.startswith("run/") and job.is_live]
    assert len(lens) == 1
    runs_owner = next(iter(lens[0].owners))
    worker.cancel(lens[0].key, runs_owner)
    gate.set()
    at = finish(at)
    assert not at.exception
    assert [b for b in at.button if b.key == "lens_button"], "there has to be a way to start it again"
    at.button(key="lens_button").click()
    at = finish(at.run())
    assert not at.exception and n_maps(at) == 2


# Waiting, stopping --------------------------------------------------------------------------------


def test_behind_another_run_the_page_says_so(open_page, finish, blocked):
    at = open_page("overview")
    assert not at.exception
    cancel = [b for b in at.button if b.label == "Cancel"]
    assert len(cancel) == 1
    assert n_strips(at) == 1, "the stored example holds the places"
    progress = at.get("progress")
    assert len(progress) == 1 and "Waiting for 1 other run" in progress[0].proto.text
    blocked.set()
    at = finish(finish(at))  # what follows a run by itself is done too
    assert not [b for b in at.button if b.label == "Cancel"]
    assert len(at.get("bidi_component")) == 1


def test_cancel_says_so_and_run_starts_again(open_page, finish, blocked):
    at = open_page("token_entropy")
    next(b for b in at.button if b.label == "Cancel").click()
    at = at.run()
    assert not at.exception
    assert "The run was cancelled. Press Run to start it again." in texts(at)
    assert "Mira unlocked" in text_field(at, state.TEXT).value
    blocked.set()
    at = finish(press_run(at))
    assert not at.exception and len(at.get("bidi_component")) == 1


def test_a_full_queue_is_a_sentence_not_a_crash(dear_lens, open_page, finish, submitted, monkeypatch):
    at = finish(open_page("token_entropy"))
    monkeypatch.setattr(runs, "PATIENCE_SECONDS", 0.2)
    worker = runs.engine().worker
    gate, began = threading.Event(), threading.Event()

    def work(job):
        began.set()
        gate.wait(PATIENCE)

    try:
        worker.submit("blocker", work, owner="a0")
        assert began.wait(PATIENCE)
        for i in range(worker._max_queue):
            worker.submit(f"waiting {i}", work, owner=f"a{i}")
        at = press_run(at, "A text for which there is no place in the queue.")
        assert not at.exception
        assert any("The queue is full" in e.value for e in at.error)
        assert text_field(at, state.TEXT).value.startswith("A text for which")
        if lens := [b for b in at.button if b.key == "lens_button"]:
            lens[0].click()
            at = at.run()
            assert not at.exception
        # The result on screen was dropped meanwhile, so that the page has to ask for it again.
        worker._jobs.pop(at.session_state[state.RUN].key)
        at = at.run()
        assert not at.exception
        assert any("The queue is full" in e.value for e in at.error)
    finally:
        gate.set()
    at = finish(at)
    at = finish(at)
    assert not at.exception and not at.error


def test_a_dropped_result_is_measured_again(open_page, finish, submitted):
    at = finish(open_page("overview"))
    runs.engine().worker._jobs.clear()
    at = finish(at.run())
    assert not at.exception and len(run_keys(submitted)) == 2
    assert len(at.get("bidi_component")) == 1


def test_progress_names_the_model_as_it_is_written():
    from app.compute.job import Job
    from app.widgets.run_status import _line

    job = Job("k", note="loading SmolLM2-135M-Instruct", state="running")
    assert unescaped(_line(job)).startswith("Loading SmolLM2-135M-Instruct")


# Model and session --------------------------------------------------------------------------------


def test_unload_frees_the_model_and_the_page_goes_on(open_page, finish, loads):
    at = finish(open_page("token_entropy"))
    assert runs.engine().model_slot.info is not None
    at.button(key="unload").click()
    at = at.run()
    assert not at.exception and runs.engine().model_slot.info is None
    assert "No model in memory" in texts(at)
    assert len(at.get("bidi_component")) == 1, "the picture stays"
    at.session_state["entropy_strip"] = {"token": 12}
    at.session_state[state.SAMPLERS] = True
    at = at.run()
    assert not at.exception
    assert "Not available: no model is loaded." in unescaped(texts(at))
    at = finish(press_run(at, "Reading something else loads it again."))
    assert not at.exception and len(loads) == 2 and runs.engine().model_slot.info is not None


def test_an_unloaded_model_is_gone(open_page, finish, tmp_path):
    """After a run and a head's map nothing holds the weights: no cache, no job, no registry of the library."""
    at = finish(
        press_run(open_page("attention_sinks", from_="folder", model=str(save_tiny("llama", tmp_path))))
    )
    at = finish(at)  # the maps of a layer come with the run
    assert not at.exception and not at.error
    spec = runs.engine().model_slot.spec
    weights = weakref.ref(runs.engine().model_slot.get(spec, lambda *_: None).model)
    at.button(key="unload").click()
    assert not at.run().exception
    gc.collect()
    assert weights() is None


def test_the_choice_of_a_model_says_what_is_wrong_with_a_model(open_page):
    at = open_page("overview", from_="gguf", model="/models/x.bin")
    said = "'/models/x.bin' is not a .gguf file. It looks like /path/to/model.gguf"
    assert said in [unescaped(c.value) for c in at.caption]
    at.text_input(key=state.SOURCE).set_value("/models/x.gguf")
    at = at.run()
    assert not at.exception and not at.error
    assert said not in [unescaped(c.value) for c in at.caption]


def test_device_that_is_not_there(open_page, finish, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    at = open_page("overview", from_="folder", model="/nowhere/", device="cuda")
    at = finish(press_run(at))
    assert not at.exception and len(at.error) == 1


def test_a_closed_tab_drops_its_jobs_and_no_others(open_page, finish, blocked):
    open_page("overview")
    worker = runs.engine().worker
    mine = [job for key, job in worker._jobs.items() if key.startswith("run/")]
    assert len(mine) == 1 and mine[0].state == "queued"
    caching.cache_resource_api.clear_session_cache("test session id")  # as AppTest names its tab
    assert mine[0].state == "cancelled"
    assert worker.get("blocker").is_live and not worker.get("blocker").stop_requested


def test_runs_opened_from_files_do_not_share_their_panels(open_page, finish, submitted, llama, monkeypatch):
    """Same text and model, other options: other numbers, so other answers."""
    import analysis as an
    from app.panels.token_entropy import token_detail

    text = "The same text, read in two ways."
    traces = [an.trace(llama, text, bos=bos) for bos in ("never", "always")]
    monkeypatch.setattr(token_detail, "model_run", lambda: None)
    assert len({token_detail._run_key(t) for t in traces}) == 2


def test_an_opened_run_needs_no_model(open_page, finish, loads, submitted, llama, monkeypatch):
    import analysis as an

    kept = an.trace(llama, "A run that was made elsewhere.")
    upload = io.BytesIO(trace_bytes(kept))
    upload.name, upload.file_id = "run.trace", "1"
    monkeypatch.setattr(
        trace_files.st, "file_uploader", lambda *a, key, **k: upload if key == "open_run" else None
    )
    at = open_page("token_entropy", from_="hub", model="x/y")
    assert not at.exception and not at.error
    assert loads == [] and submitted == [key for key in submitted if key.startswith("samplers/")]
    assert {m.label: m.value for m in at.metric}["tokens"] == str(len(kept.tokens))
    at = at.segmented_control(key=state.ENTROPY_VIEW).set_value("lens").run()
    assert "made without it" in texts(at)


def test_a_run_on_screen_has_a_report_in_its_unit(open_page, finish, monkeypatch):
    made = {}
    monkeypatch.setattr(
        report_button.st, "download_button", lambda label, data, **k: made.update({label: (data, k)})
    )
    finish(open_page("token_entropy", unit="bits"))
    content, options = made["Report of this run"]
    assert not options["disabled"] and options["file_name"] == "run.html"
    page = content().decode()
    assert "mean surprisal, bits" in page and "Content-Security-Policy" in page


@pytest.mark.parametrize("data", [b"", b"not a trace", b"\x00" * 4096, b"PK\x03\x04" + b"x" * 100])
def test_a_file_that_is_no_run_is_one_box(data, open_page, finish, monkeypatch):
    at = finish(open_page("token_entropy"))
    upload = io.BytesIO(data)
    upload.name, upload.file_id = "<b>evil</b>.trace", "1"
    monkeypatch.setattr(
        trace_files.st, "file_uploader", lambda *a, key, **k: upload if key == "open_run" else None
    )
    at = at.run()
    assert not at.exception and len(at.error) == 1
    assert "<b>" not in at.error[0].value
    assert len(at.get("bidi_component")) == 1, "the run on screen stays"


def test_a_dropped_question_is_no_answer(blocked, monkeypatch):
    monkeypatch.setattr(runs, "owner", lambda: "me")
    worker = runs.engine().worker
    submit = worker.submit

    def dropped_at_once(key, work, *, owner):
        job = submit(key, work, owner=owner)
        worker.cancel(key, owner)
        return job

    monkeypatch.setattr(worker, "submit", dropped_at_once)
    with pytest.raises(AnalysisError, match="dropped"):
        runs.answer("estimate/x/0", lambda job: 1)


def test_a_question_behind_a_run_gives_up_soon(blocked, monkeypatch):
    monkeypatch.setattr(runs, "owner", lambda: "me")
    with pytest.raises(runs.DeviceBusyError, match="busy with a run"):
        runs.answer("estimate/x/0", lambda job: 1)
    assert not runs.engine().worker.get("estimate/x/0").is_live


def test_a_model_that_cannot_be_is_said_until_it_is_another(open_page):
    at = press_run(open_page("token_entropy", from_="gguf", model="/models/x.bin"))
    assert len(at.error) == 1 and "is not a .gguf file" in unescaped(at.error[0].value)
    at = at.run()
    assert len(at.error) == 1, "another script run does not take the answer away"
    at = at.text_input(key=state.SOURCE).set_value("/models/x.gguf").run()
    assert not at.error and not at.exception


def test_an_example_is_filled_in_and_the_address_names_it(open_page):
    at = open_page("token_entropy", example="prose")
    assert text_field(at, state.TEXT).value == EXAMPLES["prose"].text
    at = at.menu_button(key=state.FILL_IN).click("code").run()
    assert text_field(at, state.TEXT).value == EXAMPLES["code"].text
    assert at.query_params[state.EXAMPLE] == "code"
    at = text_field(at, state.TEXT).set_value("A text of my own.").run()
    assert text_field(at, state.TEXT).value == "A text of my own."
    assert at.query_params[state.EXAMPLE] == "own text"
    at = at.menu_button(key=state.FILL_IN).click("story").run()
    assert text_field(at, state.TEXT).value == EXAMPLES["story"].text
    assert state.EXAMPLE not in at.query_params


@pytest.mark.parametrize(
    ("page", "view"), [("entropy_collapse", "live lab"), ("pruning_effects", "prompt")], ids=str
)
def test_where_no_run_is_drawn_the_bar_says_nothing_of_pictures(page, view, open_page):
    at = open_page(page, **{"view" if page == "entropy_collapse" else "pruning": view})
    assert not at.exception and "The pictures show" not in texts(at)
