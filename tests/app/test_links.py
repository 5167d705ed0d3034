"""Links from strangers: nothing raises, nothing is loaded, nothing starts unasked."""

from __future__ import annotations

import pytest

from analysis.models import loading
from app import state
from app.compute import requests as runs
from tests.app.conftest import PAGES, text_field
from tests.app.test_pages import press_run, result, unescaped

each_page = pytest.mark.parametrize("page", PAGES)

EVERYWHERE = [
    {"from_": "evil"},
    {"from_": "__class__"},
    {"unit": "<script>alert(1)</script>"},
    {"token": "99999999"},
    {"token": "-1"},
    {"token": "abc"},
    {"token": "٣"},
    {"token": "1" * 5000},
    {"example": "../../etc/passwd"},
    {"example": "own text"},
    {"stride": "-5"},
    {"stride": "1e999"},
    {"windows": "true", "stride": "inf"},
    {"windows": "true", "stride": "2.5"},
    {"windows": "maybe", "stride": "0"},
    {"bos": "sometimes", "special": "[]"},
    {"device": "cuda:99", "precision": "int4"},
    {"model": "../../..", "revision": "../../x"},
    {"unknown": "1", "text": "<b>", "run": "x", "opened_trace": "x", "unload": "true", "run_button": "true"},
]
ENTROPY = [
    {"token": "NaN", "color": "__proto__"},
    {"forking": "NaN", "lens": "x"},
    {"forking": "-3", "threshold": "0x1"},
    {"forking": "1e999", "hew": "true", "hew_percentile": "inf"},
    {"hew": "true", "hew_width": "64", "hew_percentile": "99"},
    {"hew": "true", "hew_width": "-1e999"},
    {"hew": "true", "hew_width": "nan", "hew_percentile": "1000"},
    {"lens": "kl", "lens_step": "3"},
    {"lens_step": "[]", "stride": "1e999"},
]


@pytest.mark.parametrize(
    ("page", "query"),
    [("overview", query) for query in EVERYWHERE] + [("token_entropy", query) for query in ENTROPY],
    ids=lambda v: v if isinstance(v, str) else "&".join(f"{k}={x[:20]!a}" for k, x in v.items()),
)
def test_odd_parameters_never_raise(page, query, open_page, finish, loads):
    at = open_page(page, **query)
    assert not at.exception and not at.error
    at = finish(at)
    assert not at.exception and not at.error
    assert {spec.kind for spec in loads} <= {"embedded"}
    if query.get("example") != "own text":
        assert len(at.get("bidi_component")) == 1
        assert 0 <= at.session_state[state.TOKEN] < len(result(at).tokens)
        assert at.session_state[state.UNIT] in ("nats", "bits")


@each_page
@pytest.mark.parametrize(
    "query",
    [
        {"from_": "hub", "model": "x/y"},
        {"from_": "hub", "model": "x/y", "example": "code", "revision": "main"},
        {"from_": "hub", "model": "../../.."},
        {"from_": "hub", "model": "![](https://evil.example/x.png)"},
        {"from_": "folder", "model": "../../.."},
        {"from_": "folder", "model": "/etc"},
        {"from_": "folder", "model": "~nobody-here/x"},
        {"from_": "folder", "model": "\x00"},
        {"from_": "folder", "model": "a" * 5000},
        {"from_": "gguf", "model": "/dev/zero"},
        {"from_": "gguf", "model": "/tmp/none.gguf"},
        {"from_": "gguf", "model": ""},
    ],
    ids=lambda q: f"{q['from_']}={q['model'][:25]!a}",
)
def test_a_link_to_a_model_waits_for_run(page, query, open_page, loads, submitted):
    at = open_page(page, **query)
    at = at.run()
    assert not at.exception
    assert loads == [] and submitted == []
    assert len(at.error) <= 1, "the sidebar says what is wrong with it, once"
    assert any("The pictures show an example. Press Run" in caption.value for caption in at.caption)
    assert all("![" not in e.value and "<" not in e.value.replace("\\<", "") for e in at.error)


def test_the_model_of_a_link_is_loaded_by_run_alone(open_page, finish, loads, submitted, tiny_folder):
    folder = str(tiny_folder("llama"))
    at = open_page("token_entropy", from_="folder", model=folder)
    assert loads == [] and submitted == [] and not at.error
    at = finish(press_run(at))
    assert not at.exception and not at.error
    assert [str(spec.path) for spec in loads] == [folder]
    assert len([k for k in submitted if k.startswith("run/")]) == 1
    assert result(at).spec.source == folder + "/"


def test_a_text_is_not_taken_from_the_address(open_page, loads):
    at = open_page("overview", text="Read this for me")
    assert "Mira unlocked" in text_field(at, state.TEXT).value


def test_a_hub_model_that_is_not_there_is_one_box(open_page, finish, monkeypatch, tmp_path):
    from analysis.errors import ModelNotFoundError

    def absent(spec):
        raise ModelNotFoundError("There is no model <i>no/where</i>.", "Check the name.")

    monkeypatch.setattr(loading, "load_model", absent)
    at = finish(press_run(open_page("token_entropy", from_="hub", model="no/where")))
    assert not at.exception
    assert [unescaped(e.value) for e in at.error] == ["There is no model <i>no/where</i>.  \nCheck the name."]
    assert runs.engine().model_slot.info is None
