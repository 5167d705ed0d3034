"""The page Visual tokens: first visit, a question asked, bad input, one choice for all pictures, and nothing kept."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st
from PIL import Image

from analysis.reports.answered import answer_report
from analysis.visual_tokens.answer_pair import compare_answers
from app import state
from app.compute import looking
from app.compute import requests as runs
from app.panels.visual_tokens import running
from app.panels.visual_tokens.view import VIEWS
from tests.app.conftest import shown, text_field
from tests.visual_answers import made_answer, same_picture
from tests.visual_sweeps import made_fragility, made_horizon, made_split, made_sweep


@pytest.fixture(autouse=True)
def _made_example(monkeypatch):
    a, b = made_answer(16), same_picture(16)
    monkeypatch.setattr(running, "example_answer", lambda: a)
    monkeypatch.setattr(running, "example_second", lambda: b)
    monkeypatch.setattr(running, "example_sweep", made_sweep)


@pytest.fixture
def questions(monkeypatch):
    """What was asked: pictures and questions. The answer is made by hand."""
    asked = []

    def ask(_model, image, question, **_options):
        asked.append((image.size, question))
        return made_answer(36, seed=len(asked))

    model = SimpleNamespace()
    monkeypatch.setattr("analysis.visual_tokens.model.load_vision_model", lambda *_a, **_k: model)
    monkeypatch.setattr("analysis.visual_tokens.ask.ask", ask)
    return asked


def png(size=(40, 30)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), 120, np.uint8)).save(file, "PNG")
    return file.getvalue()


def specs(at) -> int:
    return len(at.get("arrow_vega_lite_chart")) + len(at.get("vega_lite_chart"))


def run(at):
    at.button(key="run_button").click()
    return at.run()


def test_a_first_visit_shows_the_example_and_starts_nothing(open_page, submitted, loads):
    at = open_page("visual_tokens")
    assert not at.exception and not at.error
    assert at.title[0].value == "Visual tokens" and specs(at) == 4
    assert submitted == [] and loads == []
    metrics = {metric.label: metric.value for metric in at.metric}
    a = running.example_answer()
    share = float(metrics["on the picture"].removesuffix(" %"))
    assert share == pytest.approx(100 * float(a.looking.share_visual.mean()), rel=0.006)
    assert metrics["answer"] == "dark red"


@pytest.mark.parametrize("view", ["attention", "compare", "layers"])
def test_every_view_has_its_actions(view, open_page, files):
    at = open_page("visual_tokens", visual=view)
    assert not at.exception and not at.error
    assert files.tables and files.figures
    for name, code in files.codes.items():
        compile(code, name, "exec")
    assert all(made.startswith(b"<svg") for name, made in files.figures.items() if name.endswith(".svg"))


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_shows_a_picture_before_anything_is_measured(view, open_page, submitted):
    at = open_page("visual_tokens", visual=view)
    assert not at.exception and not at.error and specs(at) >= 1 and submitted == []


@pytest.mark.parametrize(
    "query",
    [
        {"scene": "1e999", "look_question": "<script>alert(1)</script>" * 500},
        {"scene": "-1", "picture": "evil", "visual": "x"},
        {"written": "99999", "patch": "99999", "look_layer": "layer 99", "look_head": "head -1"},
        {"vision_model": "![](https://evil.example/x.png)", "patch_quantity": "__class__"},
        {"picture": "upload"},
        {"picture": "camera", "without_sinks": "maybe"},
    ],
    ids=lambda query: "-".join(query),
)
def test_odd_parameters_never_raise(query, open_page, submitted):
    at = open_page("visual_tokens", **query)
    assert not at.exception and not at.error and submitted == []


def test_an_address_restores_scene_question_token_patch_layer_and_head(open_page):
    at = open_page(
        "visual_tokens",
        scene="12",
        look_question="how many triangles?",
        written="1",
        patch="9",
        look_layer="layer 2",
        look_head="head 1",
    )
    a, said = running.example_answer(), shown(at)
    assert at.number_input(key=state.SCENE).value == 12 and "scene 12" in said
    assert text_field(at, state.LOOK_QUESTION).value == "how many triangles?"
    assert "patch 9" in said and "red" in said
    weight = 100 * float(a.looking.attention[1, 2, 1].sum())
    assert f"{weight:.3g} % of its attention is on the picture" in said


def test_a_question_is_asked_and_its_answer_drawn(open_page, finish, questions):
    at = open_page("visual_tokens", scene="12")
    first = text_field(at, state.LOOK_QUESTION).value
    assert first  # a scene's own question stands in the form
    at = finish(run(at))
    assert not at.exception and not at.error
    assert questions == [((96, 96), first)]
    assert at.session_state[state.LOOK].spec.n_visual == 36
    at.number_input(key=state.SCENE).set_value(13)
    at = at.run()
    assert text_field(at, state.LOOK_QUESTION).value != first
    assert "Changed: last answer shown" in shown(at)


def test_a_persons_picture_stays_in_the_session(open_page, finish, questions):
    at = open_page("visual_tokens", picture="upload")
    at = run(at)
    assert "There is no picture yet." in at.error[0].value.replace("\\", "")
    at.file_uploader(key=state.LOOK_UPLOAD).set_value(("holiday.png", png(), "image/png"))
    text_field(at, state.LOOK_QUESTION).set_value("what is it?")
    at = finish(run(at.run()))
    assert not at.error and questions == [((40, 30), "what is it?")]
    assert all("holiday" not in str(value) for value in at.query_params.values())
    keys = [key for key in runs.engine().worker._jobs if "look/" in key]
    assert keys and all(key.startswith("private/") for key in keys)
    runs.engine().worker.drop_owner(keys[0].split("/")[1])
    assert not [key for key in runs.engine().worker._jobs if "look/" in key]


@pytest.mark.parametrize("data", [b"", b"not a picture", png()[:60]], ids=["empty", "text", "cut"])
def test_a_bad_picture_is_refused_in_a_sentence(data, open_page, questions):
    at = open_page("visual_tokens", picture="upload")
    at.file_uploader(key=state.LOOK_UPLOAD).set_value(("a.png", data, "image/png"))
    at = run(at.run())
    assert not at.exception and at.error and questions == []


def test_a_click_in_a_picture_chooses_its_patch_everywhere(open_page):
    at = open_page("visual_tokens")
    at.session_state[state.LOOK_MAP] = {"selection": {"pick": [{"position": 6}]}}
    at = at.run()
    assert "patch 6" in shown(at)
    at.session_state[state.LOOK_HEADS] = {"selection": {"pick": [{"position": 5}]}}
    at = at.run()
    assert at.selectbox(key=state.LOOK_LAYER).value == "layer 2"
    assert at.selectbox(key=state.LOOK_HEAD).value == "head 1"
    assert "patch 6" in shown(at)


def test_the_stored_example_is_what_the_form_asks(open_page, monkeypatch):
    from analysis.visual_tokens.answer_file import load_answer
    from analysis.visual_tokens.scenes.scene import scene

    a = load_answer(running.EXAMPLE_LOOK)
    monkeypatch.setattr(running, "example_answer", lambda: a)
    at = open_page("visual_tokens")
    assert text_field(at, state.LOOK_QUESTION).value == a.spec.question == running.EXAMPLE.question
    assert "Changed" not in shown(at) and "Example" in shown(at)
    b = load_answer(running.EXAMPLE_SECOND_LOOK)
    assert compare_answers(a, b).same_picture and b.spec.question == running.EXAMPLE_SECOND.question
    pixels = np.asarray(Image.open(io.BytesIO(a.picture.png)))
    assert (pixels == scene(running.EXAMPLE.scene).pixels).all()
    assert all(check.passed for check in a.checks)


def test_a_picture_is_pruned_and_measured_over_many_questions(open_page, finish, files, monkeypatch):
    asked = []
    monkeypatch.setattr("analysis.visual_tokens.model.load_vision_model", lambda *_a, **_k: None)
    monkeypatch.setattr(
        "analysis.visual_tokens.sweep.sweep_visual",
        lambda _vlm, _image, question, methods, kept, **more: (
            asked.append((question, *methods, more["answer"])) or made_sweep()
        ),
    )
    monkeypatch.setattr("analysis.visual_tokens.split_sweep.sweep_split", lambda *_a, **_k: made_split())
    at = open_page("visual_tokens", visual="pruning")
    assert "KL, first token, example" in shown(at)  # a stored sweep, before anything is asked
    assert files.tables["kept_on_picture"]["kept"].sum() == 4 and asked == []
    at.multiselect(key=state.VISUAL_METHODS).set_value(["random", "fastv"])
    at.button(key="prune_button").click()
    at = finish(at.run())
    assert not at.exception and not at.error
    assert asked == [(running.EXAMPLE.question, "random", "fastv", "5")]
    assert "HiRED at 25%: not available. This model sees the picture once" in shown(at)
    at.selectbox(key=state.VISUAL_SETTING).set_value(3)
    at.button(key="visual_split_button").click()
    at = finish(at.run())
    assert not at.exception and not at.error
    assert files.tables["kept_on_picture"]["kept"].sum() == 4
    assert {"visual_curves.svg", "kept_on_picture.svg", "split_curves.svg"} <= set(files.figures)
    for name, code in files.codes.items():
        compile(code, name, "exec")


def test_the_horizon_is_measured_for_the_right_answer(open_page, finish, files, monkeypatch):
    asked = []
    monkeypatch.setattr("analysis.visual_tokens.model.load_vision_model", lambda *_a, **_k: None)
    monkeypatch.setattr(
        "analysis.visual_tokens.horizon.information_horizon",
        lambda _vlm, _image, _question, answer, **more: (
            asked.append((answer, more["side"])) or made_horizon()
        ),
    )
    at = open_page("visual_tokens", visual="horizon")
    at.button(key="visual_horizon_button").click()
    at = finish(at.run())
    assert not at.exception and not at.error and asked == [("5", 2)]
    assert "From layer 2 of 4 on" in shown(at)
    assert {"visual_horizon.svg", "horizon_on_picture.svg"} <= set(files.figures)


def test_fragility_is_measured_on_scenes(open_page, finish, files, monkeypatch):
    asked = []
    monkeypatch.setattr("analysis.visual_tokens.model.load_vision_model", lambda *_a, **_k: None)
    monkeypatch.setattr(
        "analysis.visual_tokens.fragility.measure_fragility",
        lambda _vlm, scenes, _methods, _kept, noise, **_more: (
            asked.append((len(scenes), noise.levels)) or made_fragility()
        ),
    )
    at = open_page("visual_tokens", visual="fragility")
    at.button(key="fragility_button").click()
    at = finish(at.run())
    assert not at.exception and not at.error and asked == [(10, 2)]
    assert "Most fragile: FastV, 4 kept" in shown(at) and "fragility_chart.svg" in files.figures


def test_a_large_model_takes_the_place_of_the_one_that_reads_texts(monkeypatch):
    dropped = []
    monkeypatch.setattr(runs.engine().model_slot, "unload", lambda: dropped.append(True))
    monkeypatch.setattr("analysis.visual_tokens.model.load_vision_model", lambda *_a, **_k: SimpleNamespace())
    slot, job = looking.VisionSlot(), SimpleNamespace(report=lambda *_a: None)
    first = slot.get(looking.VisionSpec(), job)
    assert slot.get(looking.VisionSpec(), job) is first and dropped == []
    assert slot.get(looking.VisionSpec("org/name"), job) is not first and dropped == [True]


def test_the_report_of_the_answer_is_made_when_its_button_is_pressed(open_page, monkeypatch):
    made = {}
    monkeypatch.setattr(
        st, "download_button", lambda label, data, **options: made.update({label: (data, options)})
    )
    open_page("visual_tokens")
    content, options = made["Report of this answer"]
    assert options["file_name"] == "answer.html" and options["on_click"] == "ignore"
    assert content().decode() == answer_report(running.example_answer()).html


def test_a_second_question_stands_beside_the_first(open_page, finish, questions, files):
    at = open_page("visual_tokens", visual="compare")
    assert {"attention_of_pair.svg", "attention_difference.svg", "pair_shares.svg"} <= set(files.figures)
    at.button(key="second_answer_button").click()
    at = finish(at.run())
    assert not at.exception and not at.error
    assert questions == [
        ((96, 96), "which word is shown?")
    ]  # another picture, as the hand-made answer has it
    assert files.tables["pair_numbers"]["b"].iloc[0] == 3 and "B" in set(
        files.tables["attention_of_pair"]["answer"]
    )
    for name, code in files.codes.items():
        compile(code, name, "exec")
    assert "b = an.ask(vlm, image, 'which word is shown?')" in files.codes["pair_shares"]

    at.selectbox(key=state.SECOND_KIND).set_value("scene")
    at = at.run()
    at.number_input(key=state.SECOND_SCENE).set_value(12)
    at = at.run()
    at.button(key="second_answer_button").click()
    at = finish(at.run())
    assert not at.exception and questions[1] == ((96, 96), running.EXAMPLE.question)
    assert "an.ask(vlm, an.scene(12).image, 'which digit is shown?')" in files.codes["pair_shares"]


def test_the_answer_before_is_compared_with_the_new_one(open_page, finish, questions):
    at = open_page("visual_tokens", scene="12", visual="compare")
    before = running.example_answer()
    at = finish(run(at))
    assert not at.exception and at.session_state[state.SECOND] == (before, running.EXAMPLE)
    at.session_state[state.PAIR_SHARES] = {"selection": {"pick": [{"position": 2}]}}
    at = at.run()
    assert at.selectbox(key=state.LOOK_LAYER).value == "layer 2"


def test_answers_of_two_models_are_not_compared(open_page, monkeypatch):
    b = same_picture(16)
    other = replace(b, spec=replace(b.spec, model="another one"))
    monkeypatch.setattr(running, "example_second", lambda: other)
    at = open_page("visual_tokens", visual="compare")
    assert not at.exception and "The answers are of two models" in shown(at) and specs(at) == 2


@pytest.mark.parametrize("view", ["attention", "compare", "layers"])
def test_maps_of_a_picture_in_crops_show_either_part(view, open_page, files, monkeypatch):
    crop = np.array([0] * 4 + [1] * 12)
    a, b = (
        replace(one, picture=replace(one.picture, crop=crop))
        for one in (running.example_answer(), running.example_second())
    )
    monkeypatch.setattr(running, "example_answer", lambda: a)
    monkeypatch.setattr(running, "example_second", lambda: b)
    at = open_page("visual_tokens", visual=view)
    name = {"attention": "attention_on_picture", "compare": "attention_of_pair", "layers": "patch_quantity"}[
        view
    ]
    control = at.selectbox(key=state.MAP_PART)
    assert control.options == ["12 tokens of the crops", "4 of the small whole picture"]
    assert not at.exception and "whole=True" not in files.codes[name]
    before = files.figures[f"{name}.svg"]
    control.set_value("whole")
    at = at.run()
    assert not at.exception and "whole=True" in files.codes[name]
    assert files.figures[f"{name}.svg"] != before


def test_a_picture_without_crops_has_nothing_to_choose(open_page):
    at = open_page("visual_tokens")
    assert state.MAP_PART not in {box.key for box in at.selectbox}
