"""The X-ray: what comes after the run, one choice in every picture, and what is said where something is missing."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from analysis.attention_sinks.token_attention import attention_between_tokens
from analysis.errors import AnalysisError
from analysis.pruning_effects.eviction.survival import survival
from analysis.pruning_effects.eviction.sweep import sweep_eviction
from analysis.story.sentence import sentence
from app import state
from app.compute import requests as runs
from app.panels.overview import background
from app.panels.pruning_effects.eviction.sweep_request import standard
from tests.app.test_pages import n_charts, press_run, result, story, texts, unescaped
from tests.patience import PATIENCE


@pytest.fixture
def page(open_page, finish):
    """The overview of a finished run with everything that comes after it; token 20 is chosen."""
    at = finish(finish(open_page("overview", token="20")))
    assert not at.exception and not at.error
    return at


def words(at):
    """The story as a person reads it."""
    return " ".join(unescape(re.sub("<[^>]+>", " ", story(at))).split())


def cards(at):
    """Titles and phrases of the cards."""
    return unescaped(texts(at))


def kinds(submitted):
    """What was asked for, without the small questions of a page."""
    found = [key.partition("/")[0] for key in submitted]
    return [kind for kind in found if kind not in ("estimate", "samplers")]


def results_of(kind):
    """Results of the jobs of a kind."""
    return [job.result for key, job in runs.engine().worker._jobs.items() if key.startswith(f"{kind}/")]


# What comes after the run -------------------------------------------------------------------------


def test_everything_comes_once_after_the_run(open_page, finish, submitted):
    at = open_page("overview", token="20")
    assert "It comes with the first run." in texts(at)
    at = finish(at)
    assert kinds(submitted) == ["run", "token_attention", "eviction"]
    at = finish(at)
    assert not at.exception and len(kinds(submitted)) == 3
    said = words(at)
    assert "layer 0" in said and "lost below" in said and "story-bars" in story(at)
    assert "It comes with the first run." not in texts(at) and "caches (" in cards(at)
    assert n_charts(at) == 3


def test_a_view_change_starts_nothing(page, submitted):
    before = len(kinds(submitted))
    at = page.segmented_control(key=state.XRAY_COLOUR).set_value("kept").run()
    at = at.segmented_control(key=state.XRAY_COLOUR).set_value("attention received").run()
    at = at.segmented_control(key=state.UNIT).set_value("bits").run()
    for _ in range(3):
        at = at.button(key="story_right").click().run()
    at.session_state[state.XRAY_SINKS] = {"selection": {"pick": [{"layer": 1, "head": 2}]}}
    at = at.run()
    at = at.switch_page("../pages/token_entropy.py").run().switch_page("../pages/overview.py").run()
    assert not at.exception
    assert kinds(submitted)[before:] == []


def test_the_story_is_that_of_the_measures(page, llama):
    trace = result(page)
    between, asked = attention_between_tokens(llama, trace), standard(trace)
    sweep = sweep_eviction(llama, asked.context, asked.continuation, asked.methods(), asked.kept, seeds=1)
    kept = survival(sweep)
    expected = "".join(sentence(trace, 20, between, kept))
    shown = unescape(re.sub("<[^>]+>", "", story(page))).replace("·", " ")
    assert expected.replace("\n", "↵") in shown
    np.testing.assert_array_equal(results_of("token_attention")[0].query, between.query)
    after = 64
    assert len(trace.tokens) > 2 * after and kept.n_context == len(trace.tokens) - after
    assert f"Pruned once, after token {kept.n_context - 1}." in cards(page)


def test_a_dear_lens_comes_afterwards(dear_lens, open_page, finish, submitted):
    at = finish(open_page("overview", token="20"))
    assert kinds(submitted) == ["run", "token_attention", "run", "eviction"]
    at = finish(at)
    assert not at.exception and "layer 0" in words(at) and len(kinds(submitted)) == 4


def test_what_takes_too_long_is_offered(open_page, finish, submitted, monkeypatch):
    monkeypatch.setattr(background, "AT_ONCE_SECONDS", -1)
    at = finish(finish(open_page("overview", token="20")))
    assert not [key for key in submitted if key.startswith("eviction/")]
    assert "It takes " in texts(at)
    at = finish(at.button(key="compute_eviction").click().run())
    assert not at.exception and "lost below" in words(at)
    assert len([key for key in submitted if key.startswith("eviction/")]) == 1


def test_a_new_run_goes_first(open_page, finish, monkeypatch):
    at = finish(open_page("overview"))
    monkeypatch.setattr(runs, "PATIENCE_SECONDS", 0.2)
    gate, began = threading.Event(), threading.Event()

    def work(job):
        began.set()
        gate.wait(PATIENCE)

    worker = runs.engine().worker
    finish(at)
    worker.submit("blocker", work, owner="somebody else")
    assert began.wait(PATIENCE)
    try:
        runs.engine().worker.forget(lambda job: job.key.startswith(("token_attention/", "eviction/")))
        at = at.run()
        old = [job for key, job in worker._jobs.items() if key.startswith(("token_attention/", "eviction/"))]
        assert len(old) == 2 and all(job.state == "queued" for job in old)
        at = press_run(at, "Another text, which nobody should wait for longer than needed.")
        assert all(job.state == "cancelled" for job in old)
    finally:
        gate.set()
    at = finish(finish(at))
    assert not at.exception and not at.error and "lost below" in words(at)


def test_what_fails_says_why_in_its_place(open_page, finish, monkeypatch):
    from analysis.attention_sinks import token_attention

    def fails(*_arguments, **_options):
        raise AnalysisError("The <b>device</b> is on fire.", "Put it *out*.")

    monkeypatch.setattr(token_attention, "attention_between_tokens", fails)
    at = finish(finish(open_page("overview", token="20")))
    assert not at.exception and not at.error
    assert "Not available: The <b>device</b> is on fire. Put it *out*." in unescaped(texts(at))
    assert "lost below" in words(at)


# One choice ---------------------------------------------------------------------------------------


def test_the_chosen_token_is_one_in_all_pictures(page):
    page.session_state["overview_strip"] = {"token": 5}
    at = page.run()
    name = result(at).tokens.text[5]
    assert at.session_state[state.TOKEN] == 5 and "token 5 of" in texts(at)
    assert f"Who keeps {name.replace(' ', '·')}" in cards(at)
    at = at.button(key="story_left").click().run()
    assert at.session_state[state.TOKEN] == 4 and "token 4 of" in texts(at)
    at = at.button(key="story_right").click().run().button(key="story_right").click().run()
    assert at.session_state[state.TOKEN] == 6 and not at.exception


def test_the_ends_of_the_text_have_one_neighbour(open_page, finish):
    at = finish(open_page("overview", token="0"))
    assert at.button(key="story_left").disabled and not at.button(key="story_right").disabled
    last = len(result(at).tokens) - 1
    at.session_state[state.TOKEN] = last
    at = at.run()
    assert not at.exception and at.button(key="story_right").disabled
    at = finish(at)
    assert "No later token attends to it." in words(at) and "never comes again" in texts(at)


def test_a_token_after_the_cut_is_said_to_be_safe(page):
    page.session_state[state.TOKEN] = len(result(page).tokens) - 10
    at = page.run()
    assert not at.exception and texts(at).count("nothing evicts it") == 1
    assert "nothing evicts it" in words(at) and "lost below" not in words(at)
    assert n_charts(at) == 2


def test_a_clicked_layer_is_chosen_everywhere(page):
    page.session_state[state.XRAY_SINKS] = {"selection": {"pick": [{"layer": 1, "head": 3}]}}
    at = page.run()
    assert (at.session_state[state.LAYER], at.session_state[state.HEAD]) == (1, 3)
    assert "layer 1:" in cards(at)
    at.session_state[state.XRAY_ENTROPY] = {"selection": {"pick": [{"layer": 0}]}}
    at = at.run()
    assert (at.session_state[state.LAYER], at.session_state[state.HEAD]) == (0, 3)
    assert "layer 0:" in cards(at) and not at.exception
    at.session_state[state.LAYER] = 1  # chosen on another page: the old click does not win
    assert "layer 1:" in cards(at.run())


# What is not there --------------------------------------------------------------------------------


def test_an_opened_run_says_what_needs_the_model(open_page, finish, llama, submitted):
    import analysis as an

    at = finish(open_page("overview"))
    before = len(kinds(submitted))
    at.session_state[state.OPENED] = an.trace(llama, "A run from another machine, " * 3)
    at = at.run()
    assert not at.exception and not at.error and len(kinds(submitted)) == before
    assert cards(at).count("Not available: an opened file has no model.") == 3
    assert "Not available: the opened file was made without the lens." in cards(at)


def test_a_run_without_attention_says_so(open_page, finish, llama):
    import analysis as an

    at = finish(open_page("overview", show="kept"))
    trace = an.trace(llama, "A run without what it costs most, " * 3, attention=False, spectra=False)
    at.session_state[state.OPENED] = replace(trace)
    at = at.run()
    assert not at.exception and not at.error
    assert "Attention sinks: not available" in texts(at) and "Matrix entropy: not available" in texts(at)
    assert at.segmented_control(key=state.XRAY_COLOUR).options == ["entropy", "surprisal"]
    assert n_charts(at) == 0


def test_hostile_tokens_are_only_text(open_page, finish):
    at = finish(open_page("overview"))
    at = finish(finish(press_run(at, "<b>bold</b> ![](x) <script>alert(1)</script> again <b>bold</b>")))
    for position in range(0, len(result(at).tokens), 3):
        at.session_state[state.TOKEN] = position
        at = at.run()
        assert not at.exception
        assert not re.search(
            r"<(b>bold|script|img)", story(at).replace("<b>Before", "").replace("<b>Its", "")
        )
