"""Each page in five situations: default, no text, a text too long, a model that fails, an address."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from analysis.errors import AnalysisError
from analysis.models import loading
from app import state
from app.compute import requests as runs
from app.examples import EXAMPLES
from app.navigation import ENTRIES
from app.widgets import card_actions
from tests.app.conftest import PAGES, text_field

each_page = pytest.mark.parametrize("page", PAGES)


def texts(at: AppTest) -> str:
    """Everything in captions, Markdown and notices, one after the other."""
    kinds = ("markdown", "caption", "info", "error", "text")
    return "\n".join(str(element.value) for kind in kinds for element in at.get(kind))


def unescaped(text: str) -> str:
    return text.replace("\\", "")


def press_run(at: AppTest, text: str | None = None) -> AppTest:
    if text is not None:
        text_field(at, state.TEXT).set_value(text)
    at.button(key="run_button").click()
    return at.run()


def story(at: AppTest) -> str:
    """HTML of the chosen token's story on the overview."""
    return "\n".join(element.proto.body for element in at.get("html") if "<style>" not in element.proto.body)


def n_charts(at: AppTest) -> int:
    return len(at.get("vega_lite_chart"))


def n_strips(at: AppTest) -> int:
    return sum("token_strip" in drawn.proto.component_name for drawn in at.get("bidi_component"))


def has_strip(page: str) -> bool:
    """Whether the page draws the token strip."""
    return page in ("overview", "token_entropy")


def result(at: AppTest) -> Any:
    return runs.find(at.session_state[state.RUN]).result


@each_page
def test_default_shows_progress_and_then_the_picture(page, open_page, finish, loads):
    at = open_page(page)
    assert not at.exception
    assert at.title[0].value in {entry.title for entry in ENTRIES}
    at = finish(at)
    assert not at.exception and not at.error
    assert text_field(at, state.TEXT).value == EXAMPLES["story"].text
    assert n_strips(at) == has_strip(page)
    least = {
        "overview": 2,
        "token_entropy": 3,  # first choices, histogram, curve
        "attention_sinks": 0,  # maps of cells
        "entropy_collapse": 2,
        "pruning_effects": 1,
    }
    assert n_charts(at) >= least.get(page, 0)
    assert len(loads) == 1


def test_numbers_on_the_page_are_those_of_the_run(open_page, finish):
    at = finish(open_page("token_entropy"))
    tokens = result(at).tokens
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown["tokens"] == str(len(tokens))
    assert float(shown["mean entropy"].split()[0]) == pytest.approx(
        float(np.nanmean(tokens.entropy)), rel=0.006
    )
    assert shown["mean entropy"].endswith(" nats")
    assert float(shown["perplexity"].replace("\u2009", "")) == pytest.approx(
        float(np.exp(np.nanmean(tokens.surprisal.astype(float)))), rel=0.006
    )
    chosen = state.TOKEN in at.session_state and at.session_state[state.TOKEN]
    assert f"**Token {chosen} “" in texts(at)


@each_page
@pytest.mark.parametrize("text", ["", "  \n\t "], ids=["empty", "blank"])
def test_no_text_says_so_and_keeps_the_page(page, text, open_page, finish):
    at = finish(open_page(page))
    at = finish(press_run(at, text))
    assert not at.exception
    assert [unescaped(e.value) for e in at.error] == [
        "There is no text to read.  \nType or paste some text, or pick an example."
    ]
    assert text_field(at, state.TEXT).value == text
    at = finish(press_run(at, "Now there is something to read."))
    assert not at.exception and not at.error and n_strips(at) == has_strip(page)


@each_page
def test_a_text_of_one_token_says_what_to_do(page, open_page, finish):
    at = finish(press_run(finish(open_page(page)), "a"))
    assert not at.exception
    assert [unescaped(e.value) for e in at.error] == [
        "The text is a single token, so there is nothing to predict.  \n"
        "Type a few more words, or set the beginning-of-text token to always."
    ]


@each_page
def test_a_text_beyond_the_context_names_both_lengths(page, open_page, finish):
    long = "abc " * 900
    at = finish(press_run(finish(open_page(page)), long))
    assert not at.exception and len(at.error) == 1
    said = unescaped(at.error[0].value)
    assert "The text has 2,701 tokens" in said and "reads at most 2,048" in said
    assert "Shorten it, or read it in windows" in said
    assert text_field(at, state.TEXT).value == long
    at.toggle(key=state.WINDOWS).set_value(True)
    at = at.run()
    at.number_input(key=state.STRIDE).set_value(1024)
    at = finish(press_run(at.run()))
    assert not at.exception and not at.error
    assert "windows of 2048, stride 1024" in unescaped(texts(at))


@each_page
def test_a_model_that_fails_gives_one_box_and_can_be_tried_again(
    page, open_page, finish, loads, monkeypatch, llama
):
    works = loading.load_model
    problem: list[Exception] = [
        AnalysisError("The file of <b>the model</b> is cut off.", "Fetch it *again*.")
    ]

    def fails(spec):
        raise problem[0]

    monkeypatch.setattr(loading, "load_model", fails)
    at = finish(open_page(page))
    assert not at.exception and len(at.error) == 1
    assert unescaped(at.error[0].value) == "The file of <b>the model</b> is cut off.  \nFetch it *again*."
    assert "\\<b\\>" in at.error[0].value and "\\*again\\*" in at.error[0].value
    assert (
        "The run failed, the pictures show an example." in texts(at) and runs.engine().model_slot.info is None
    )
    problem[0] = RuntimeError("shape '[3]' is invalid")
    at = finish(press_run(at))
    assert not at.exception and len(at.error) == 1
    said = unescaped(at.error[0].value)
    assert "RuntimeError: shape '[3]' is invalid" in said and "please report it" in said
    assert "Traceback" not in said
    monkeypatch.setattr(loading, "load_model", works)
    at = finish(press_run(at))
    assert not at.exception and not at.error and n_strips(at) == has_strip(page)


@each_page
def test_an_address_restores_the_view(page, open_page, finish):
    at = finish(
        open_page(
            page,
            example="code",
            unit="bits",
            token="7",
            color="gap",
            forking="0.3",
            bos="never",
            hew="true",
            device="cpu",
        )
    )
    assert not at.exception and not at.error
    assert text_field(at, state.TEXT).value == EXAMPLES["code"].text
    assert at.session_state[state.UNIT] == "bits"
    assert not has_strip(page) or at.session_state[state.TOKEN] == 7
    assert result(at).spec.bos == "never"
    assert "nats" not in " ".join(str(metric.value) for metric in at.metric)
    if page == "overview":
        assert re.search(r"entropy [\d.]+ · surprisal [\d.]+ bits", story(at)) and "token 7 of" in texts(at)
    if page == "token_entropy":
        assert at.session_state[state.QUANTITY] == "gap"
        assert "**Token 7 “" in texts(at) and re.search(r"entropy \*\*[\d.]+\*\* bits", texts(at))
        assert "top 30%" in texts(at)


def test_the_choice_survives_a_walk_between_pages(open_page, finish, loads):
    at = finish(open_page("overview"))
    text_field(at, state.TEXT).set_value("A text of my own, with a few words in it.")
    at = finish(press_run(at.run()))
    at = at.switch_page("../pages/token_entropy.py").run()
    assert text_field(at, state.TEXT).value.startswith("A text of my own")
    assert len(at.get("bidi_component")) == 1 and not at.exception
    at = at.switch_page("../pages/overview.py").run()
    assert text_field(at, state.TEXT).value.startswith("A text of my own")
    assert not at.exception and len(loads) == 1


def test_every_file_of_a_page_can_be_made(open_page, finish, files):
    made, tables = files.figures, files.tables
    at = finish(open_page("token_entropy"))
    at = at.segmented_control(key=state.UNIT).set_value("bits").run()
    for view in ("scatter", "lens"):
        at = at.segmented_control(key=state.ENTROPY_VIEW).set_value(view).run()
    assert not at.exception
    assert set(made) == {
        "token_strip.html",
        "along_text.svg",
        "surprisal_scatter.svg",
        "by_token.html",
        "lens.svg",
    }
    for name, data in made.items():
        start = data[:500].decode().lower()
        assert start.startswith(("<svg", "<!doctype html", "<html")), name
        if name.endswith(".html"):
            assert 'charset="utf-8"' in start, name
    assert set(tables) == {"token_strip", "along_text", "surprisal_scatter", "by_token", "lens"}
    for name, table in tables.items():
        assert any(column.endswith("_bits") for column in table.columns), name
        assert not any("nats" in column for column in table.columns), name
        again = pd.read_parquet(io.BytesIO(card_actions._parquet(table)))
        pd.testing.assert_frame_equal(again, table)
    assert "threshold_bits" in tables["along_text"]
    assert tables["lens"]["layer"].max() == result(at).spec.n_layers
