"""The page Write: first visit, writing, stopping, bad input, an opened file; and every way on from a token."""

from __future__ import annotations

import io
import json
import threading

import numpy as np
import pytest
import streamlit as st
import torch

from analysis.drawing.numbers import significant
from analysis.writing.compare import branches_frame
from analysis.writing.messages import messages_of
from analysis.writing.results import Writing
from analysis.writing.writing_file import writing_bytes
from app import state
from app.compute import requests as runs
from app.compute import writing as jobs
from app.panels.write import answers, running
from tests.app.conftest import shown, text_field
from tests.patience import PATIENCE

TEXT = "the tin in the inn is thin"


def written(at) -> Writing:
    return at.session_state[state.WRITING]


def n_strips(at) -> int:
    return sum("token_strip" in drawn.proto.component_name for drawn in at.get("bidi_component"))


def press_write(at, text: str | None = TEXT, n: int = 20):
    """Write a plain text on: the tiny model has no template for chats."""
    at.segmented_control(key=state.WRITE_AS).set_value("plain")
    at = at.run()
    if text is not None:
        text_field(at, state.PROMPT_TEXT).set_value(text)
    at.number_input(key=state.N_WRITTEN).set_value(float(n))
    at.button(key="run_button").click()
    return at.run()


@pytest.fixture
def page(open_page, finish):
    """The page after twenty tokens were written."""
    return finish(press_write(open_page("write")))


class Held:
    """Holds the writing after a token, until a test lets it go on."""

    def __init__(self, monkeypatch, after: int) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        really = jobs.OneSlice.__call__

        def call(slice_, so_far, n):
            really(slice_, so_far, n)
            if slice_.n_written == after:
                self.reached.set()
                assert self.go.wait(PATIENCE)

        monkeypatch.setattr(jobs.OneSlice, "__call__", call)


# First visit ------------------------------------------------------------------------------------------


def test_a_first_visit_shows_the_stored_example_and_starts_nothing(open_page, submitted, loads):
    at = open_page("write")
    assert not at.exception and not at.error
    assert at.title[0].value == "Write" and n_strips(at) == 1
    assert len(at.get("vega_lite_chart")) + len(at.get("arrow_vega_lite_chart")) == 3
    assert "The pictures show an example. Press Write for yours." in shown(at)
    assert submitted == [] and loads == []
    example = running.example_writing()
    assert len(example.branches) == 4 and example.branches[0].name == "most likely"
    assert example.prompt.messages[-1].content == text_field(at, state.MESSAGE).value
    assert "branch 1 of 4: most likely" in shown(at)


def test_an_address_restores_the_settings(open_page, finish):
    at = open_page(
        "write", as_="plain", new="3", write_samplers="Temperature", write_temperature="1.5", write_seed="7"
    )
    assert at.segmented_control(key=state.WRITE_AS).value == "plain"
    at.button(key="run_button").click()
    at = finish(at.run())
    this = written(at).branches[0]
    assert not at.error and len(this) == 3
    assert this.samplers.steps == (("temperature", 1.5),) and this.samplers.seed == 7


@pytest.mark.parametrize(
    "query",
    [
        {"new": "inf"},
        {"new": "-3"},
        {"write_samplers": "evil"},
        {"write_seed": "1e999"},
        {"as_": "<b>"},
        {"answers": "NaN"},
    ],
    ids=str,
)
def test_odd_parameters_never_raise(query, open_page, submitted):
    at = open_page("write", **query)
    assert not at.exception and not at.error and submitted == []


# Writing ----------------------------------------------------------------------------------------------


def test_what_is_written_is_drawn_with_its_numbers(page):
    assert not page.exception and not page.error
    w = written(page)
    assert len(w.branches) == 1 and len(w.branches[0]) == 20 and w.prompt.text == TEXT
    assert n_strips(page) == 1 and "example" not in shown(page)
    assert "20 tokens, as many tokens as asked for · greedy" in shown(page)
    assert f"mean entropy {w.branches[0].numbers.entropy.mean():.2f}"[:18] in shown(page)
    assert all(check.passed for check in w.branches[0].checks) and w.branches[0].checks
    assert "checks" in [
        b.label.split()[-1] for b in page.get("popover") if hasattr(b, "label")
    ] or "reading its tokens" in shown(page)


def test_slices_give_what_one_call_gives_and_others_come_between(page, llama):
    from analysis.writing.write import write

    once = write(llama, TEXT, n_new=20)
    w = written(page)
    np.testing.assert_array_equal(w.path(), once.path())
    assert jobs.SLICE < 20, "more than one slice was needed"
    assert w.branches[0].ended == once.branches[0].ended == "limit"


def test_others_that_wait_come_between_two_slices(open_page, finish, monkeypatch):
    held = Held(monkeypatch, 3)
    at = press_write(open_page("write"), n=40)
    assert held.reached.wait(PATIENCE)
    order = []
    other = runs.engine().worker.submit("other", lambda job: order.append("other"), owner="bob")
    mine = running_job(at)
    held.go.set()
    assert other.wait(PATIENCE)
    assert mine.is_live or mine.started < other.started
    at = finish(at)
    assert len(written(at).branches[0]) == 40
    assert other.ended < mine.ended


@pytest.mark.parametrize("what", ["many answers", "a stop text"])
def test_others_come_between_two_slices_of_everything(what, open_page, finish, monkeypatch, llama):
    from analysis.writing.samples import write_samples

    at = finish(press_write(open_page("write"), n=12))
    held = Held(monkeypatch, 3)
    if what == "many answers":
        at.number_input(key=state.N_ANSWERS).set_value(3.0)
        at = at.run()
        at.button(key="answers_button").click()
        at = at.run()
    else:
        text_field(at, state.STOP_STRINGS).set_value("never written")
        at = press_write(at, "the tin", n=40)
    assert held.reached.wait(PATIENCE)
    mine = running_job(at)
    other = runs.engine().worker.submit("other", lambda _job: None, owner="bob")
    held.go.set()
    w = written(finish(at))
    assert other.ended < mine.ended and mine.state == "done"
    if what == "a stop text":
        assert w.branches[0].stop == ("never written",) and len(w.branches[0]) == 40
        return
    once = write_samples(llama, TEXT, n=3, n_new=12).writing
    assert [b.ended for b in w.branches] == [b.ended for b in once.branches]
    for one, same in zip(w.branches, once.branches, strict=True):
        np.testing.assert_array_equal(one.ids, same.ids)


def test_stopping_many_answers_keeps_what_there_is_of_each(open_page, finish, monkeypatch):
    at = finish(press_write(open_page("write"), n=40))
    held = Held(monkeypatch, 6)
    at.number_input(key=state.N_ANSWERS).set_value(3.0)
    at = at.run()
    at.button(key="answers_button").click()
    at = at.run()
    assert held.reached.wait(PATIENCE)
    at = at.run()
    next(b for b in at.button if b.label == "Stop").click()
    at = at.run()
    held.go.set()
    w = written(finish(at))
    assert len(w.branches) == 3
    for one in w.branches:
        assert one.ended == "stop" or (one.ended == "stopped" and 4 <= len(one) <= 7)


def running_job(at):
    return runs.engine().worker.get(at.session_state[state.WRITING_JOB])


def test_while_it_is_written_the_tokens_so_far_are_on_screen(open_page, finish, monkeypatch):
    held = Held(monkeypatch, 1)
    at = press_write(open_page("write"))
    assert held.reached.wait(PATIENCE)
    at = at.run()
    assert not at.exception and n_strips(at) == 1
    assert "1 token, being written" in shown(at)
    assert [b.label for b in at.button if b.key and b.key.startswith("cancel_")] == ["Stop"]
    assert not [b for b in at.button if b.key and b.key.startswith("go_on_")]
    held.go.set()
    assert len(written(finish(at)).branches[0]) == 20


def test_stopping_keeps_what_there_is_and_goes_on_later(open_page, finish, monkeypatch):
    held = Held(monkeypatch, 5)
    at = press_write(open_page("write"), n=40)
    assert held.reached.wait(PATIENCE)
    at = at.run()
    next(b for b in at.button if b.label == "Stop").click()
    at = at.run()
    held.go.set()
    at = finish(at)
    w = written(at)
    assert 5 <= len(w.branches[0]) <= 6 and w.branches[0].ended == "stopped"
    assert not at.error and f"{len(w.branches[0])} tokens, stopped" in shown(at)
    before = w.path()
    monkeypatch.undo()
    at.button(key="write_more").click()
    at = finish(at.run())
    after = written(at)
    assert len(after.branches) == 1 and len(after.branches[0]) == len(w.branches[0]) + 40
    np.testing.assert_array_equal(after.path()[: len(before)], before)


def test_writing_again_before_the_end_keeps_what_there_is(open_page, finish, monkeypatch):
    held = Held(monkeypatch, 5)
    at = press_write(open_page("write"), n=40)
    assert held.reached.wait(PATIENCE)
    at.button(key="run_button").click()
    at = at.run()
    held.go.set()
    w = written(finish(at))
    assert [b.ended for b in w.branches] == ["stopped", "limit"]
    assert 1 <= len(w.branches[0]) <= 5 and len(w.branches[1]) == 40
    np.testing.assert_array_equal(w.branches[0].ids, w.branches[1].ids[: len(w.branches[0])])


def test_a_closed_tab_stops_within_a_token(open_page, monkeypatch):
    held = Held(monkeypatch, 2)
    at = press_write(open_page("write"), n=400)
    assert held.reached.wait(PATIENCE)
    job = running_job(at)
    for owner in job.owners:
        runs.engine().worker.drop_owner(owner)
    held.go.set()
    assert job.wait(PATIENCE) and job.state == "cancelled"
    assert len(job.partial.writing.branches[0]) <= 3


def test_the_same_prompt_again_is_one_more_branch_and_another_a_new_tree(page, finish):
    at = finish(press_write(page, None))
    assert len(written(at).branches) == 2 and written(at).branches[1].parent is None
    at = finish(press_write(at, "another inn"))
    assert len(written(at).branches) == 1 and written(at).prompt.text == "another inn"


# Ways on ----------------------------------------------------------------------------------------------


def choose(at, token):
    revision = at.session_state[state.strip_selection("written_strip")].revision
    at.session_state["written_strip"] = {"token": [token, revision]}
    return at.run()


def test_the_token_of_highest_entropy_is_chosen_first(page):
    w = written(page)
    at = int(np.argmax(w.branches[0].numbers.entropy))
    assert at != 19 and f"token {at} of 20" in shown(page)


def test_a_clicked_token_offers_its_alternatives_and_the_branch_keeps_what_came_before(page, finish):
    at = choose(page, 4)
    w = written(at)
    assert "token 4 of 20" in shown(at)
    came = int(w.path()[len(w.prompt.ids) + 4])
    others = [int(i) for i in w.branches[0].numbers.top_ids[4][:8]]
    row = next(i for i, token in enumerate(others) if token != came)
    at.button(key=f"go_on_{row}").click()
    at = finish(at.run())
    after = written(at)
    assert len(after.branches) == 2 and not at.error
    at_ = len(w.prompt.ids) + 4
    np.testing.assert_array_equal(after.path(1)[:at_], w.path(0)[:at_])
    assert after.path(1)[at_] == others[row] and after.branches[1].forced == 1
    assert len(after.branches[1]) == 21
    assert "2 branches" in shown(at)
    np.testing.assert_array_equal(after.path(0), w.path(0))


def test_a_typed_word_of_several_tokens_is_taken_token_by_token(page, finish):
    at = choose(page, 2)
    at.text_input(key="typed_word").set_value(" in the inn")
    next(b for b in at.button if b.label == "Go on with this").click()
    at = finish(at.run())
    w = written(at)
    assert len(w.branches) == 2 and w.branches[1].forced > 1
    assert " in the inn" in w.written(1)
    at = choose(at, 3)
    assert "A person chose this token" in shown(at)


def test_what_if_takes_the_four_first_choices_a_few_tokens_further(page, finish):
    at = choose(page, 3)
    at.button(key="what_if").click()
    at = finish(at.run())
    w = written(at)
    assert len(w.branches) == 5 and all(len(b) == 17 or b.ended == "stop" for b in w.branches[1:])
    assert len({int(b.ids[0]) for b in w.branches[1:]}) == 4


def test_drawing_again_takes_other_noise(page, finish):
    at = page
    at.multiselect(key=state.WRITE_SAMPLERS).set_value(["temperature", "top-k"])
    at = at.run()
    at.number_input(key=state.sampler("temperature")).set_value(2.0)
    at = choose(at.run(), 0)
    for _ in range(2):
        at.button(key="draw_again").click()
        at = choose(finish(at.run()), 0)
    w = written(at)
    assert len(w.branches) == 3
    assert w.branches[1].samplers.steps == (("temperature", 2.0), ("top-k", 50.0))
    assert w.branches[1].sample != w.branches[2].sample
    assert w.branches[1].ids.tolist() != w.branches[2].ids.tolist()
    at = choose(at, 5)
    frame = next(d.value for d in at.dataframe if "keeps" in d.value.columns)
    assert frame["sampler"].tolist() == ["Temperature 2", "Top-k 50"]
    assert frame["keeps"].tolist()[1] <= 60


def test_each_sampler_alone_keeps_what_its_definition_says(page, llama):
    at = choose(page, 4)
    at.session_state[state.KEPT_ALONE] = True
    at = at.run()
    w = written(at)
    position = len(w.prompt.ids) + 4
    with torch.inference_mode():
        logits = llama.model(torch.from_numpy(w.path()[None, :position])).logits[0, -1]
    p = logits.double().softmax(0)
    frame = next(d.value for d in at.dataframe if "this one" in d.value.columns).set_index("sampler")
    kept = p >= 0.05 * p.max()
    assert frame.loc["Min-p 0.05", "keeps"] == int(kept.sum())
    assert frame.loc["Min-p 0.05", "mass"] == pytest.approx(100 * float(p[kept].sum()), rel=1e-4)
    assert frame.loc["Top-k 50", "keeps"] >= 50 and len(frame) == 8
    assert frame.loc["Top-p 0.9", "mass"] >= 90 - 1e-4


def test_branches_are_chosen_in_the_tree_named_compared_and_deleted(page, finish):
    at = choose(page, 4)
    at.button(key="what_if").click()
    at = finish(at.run())
    at.session_state[state.WRITE_TREE] = {"selection": {"pick": [{"branch": 2}]}}
    at = at.run()
    assert at.session_state[state.BRANCH] == 2 and "branch 3 of 5" in shown(at)
    at = at.button(key="branch_left").click().run()
    assert at.session_state[state.BRANCH] == 1, "a click counts once"
    at.text_input(key="branch_name_1").set_value("the other way")
    next(b for b in at.button if b.label == "Name this branch").click()
    at = at.run()
    assert written(at).branches[1].name == "the other way" and "branch 2 of 5: the other way" in shown(at)
    assert "The same for 4 tokens, then they part." in shown(at)
    at.button(key="delete_branch").click()
    at = at.run()
    assert len(written(at).branches) == 4 and not at.exception
    for _ in range(3):
        at = at.button(key="branch_right").click().run() if at.session_state[state.BRANCH] == 0 else at
        at.button(key="delete_branch").click()
        at = at.run()
    assert len(written(at).branches) == 1
    at.button(key="delete_branch").click()
    at = at.run()
    assert "everything that was written" in shown(at) and len(written(at).branches) == 1


def test_many_answers_without_a_sampler_are_drawn_at_temperature_1(open_page, finish):
    at = finish(press_write(open_page("write"), n=6))
    at.number_input(key=state.N_ANSWERS).set_value(3.0)
    at = at.run()
    at.button(key="answers_button").click()
    w = written(finish(at.run()))
    assert [b.samplers.steps for b in w.branches] == [(("temperature", 1.0),)] * 3


def test_many_answers_are_grouped_by_a_stated_rule(open_page, finish):
    at = press_write(open_page("write"), n=6)
    at = finish(at)
    at.multiselect(key=state.WRITE_SAMPLERS).set_value(["temperature"])
    at.number_input(key=state.N_ANSWERS).set_value(5.0)
    at = at.run()
    at.button(key="answers_button").click()
    at = finish(at.run())
    w = written(at)
    assert not at.error and len(w.branches) == 5 == len(answers.of_prompt(w))
    assert "**5 answers, grouped**" in shown(at) and "Answer entropy" in shown(at)
    at.selectbox(key=state.ANSWER_BY).set_value(answers.PATTERN)
    at = at.run()
    assert "The pattern is empty." in shown(at)
    at.text_input(key=state.ANSWER_PATTERN).set_value("(")
    at = at.run()
    assert not at.exception and "Answer entropy" not in shown(at)
    at.text_input(key=state.ANSWER_PATTERN).set_value("zzzzz")
    at.text_input(key=state.RIGHT_ANSWER).set_value("42")
    at = at.run()
    assert "Answer entropy **0** nats" in shown(at) and "0 of 5 right" in shown(at)


def test_surer_answers_weigh_more_and_thinking_is_counted(page, llama):
    from analysis.writing.rules.thinking import thinking_of
    from analysis.writing.sample_answers import answers_of, confidence_vote
    from analysis.writing.write import branch

    w = written(page)
    assert "Vote by confidence" not in shown(page)
    n = len(w.prompt.ids)
    for text in ("<think>no</think> is 4 ", "<think>no, it is</think> is 4 ", "<think>is", " is 5 "):
        w = branch(llama, w, of=0, at=n, token=text, n_new=1)
    page.session_state[state.WRITING] = w
    at = page.run()
    at.selectbox(key=state.ANSWER_BY).set_value(answers.PATTERN)
    at = at.run()
    at.text_input(key=state.ANSWER_PATTERN).set_value(r"is (\d)")
    at = at.run()
    assert not at.exception
    vote = confidence_vote(w, answers_of(w, r"is (\d)", range(5)), range(5))
    assert vote.counts == {"4": 2, "5": 1} and vote.n_without == 2
    share = 100 * vote.weights["4"] / sum(vote.weights.values())
    assert (
        f"Vote by confidence: **4** with {significant(share)} % of the weight and 66.7 % of the answers."
        in shown(at)
    )
    counts = thinking_of(w, range(5))
    fewest, most = counts.thinking.min(), counts.thinking.max()
    assert fewest == 0 and f"Thinking takes 0 to {most} tokens, " in shown(at)
    assert f"{significant(counts.spread)} times as many" in shown(at) and "1 of 5 never came" in shown(at)


# Bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_prompt_says_so_and_keeps_what_is_there(text, page, finish):
    before = written(page)
    at = finish(press_write(page, text))
    assert not at.exception and len(at.error) == 1 and written(at) is before
    assert "Type" in at.error[0].value
    at = finish(press_write(at, "an inn"))
    assert not at.error and written(at).prompt.text == "an inn"


def test_a_prompt_beyond_the_context_says_so(page, finish):
    at = finish(press_write(page, "abc " * 900))
    assert not at.exception and "2,048" in shown(at) and len(at.error) == 1
    assert text_field(at, state.PROMPT_TEXT).value == "abc " * 900


def test_a_model_without_a_template_offers_the_plain_prompt(open_page, finish):
    at = open_page("write")
    at.button(key="run_button").click()
    at = finish(at.run())
    assert not at.exception and len(at.error) == 1
    assert "plain" in shown(at).lower() and "template" in shown(at)
    assert n_strips(at) == 1, "the example stays"


def test_a_model_that_fails_gives_one_box(open_page, finish, monkeypatch, loads):
    from analysis.models import loading

    def fails(spec):
        raise RuntimeError("no luck")

    monkeypatch.setattr(loading, "load_model", fails)
    at = finish(press_write(open_page("write")))
    assert not at.exception and len(at.error) == 1 and "no luck" in shown(at)


def test_what_another_model_wrote_is_not_gone_on_with(open_page, finish):
    """The example is the embedded model's; here another stands in its place."""
    at = open_page("write")
    at.button(key="write_more").click()
    at = finish(at.run())
    assert not at.exception and len(at.error) == 1
    assert "This was written by SmolLM2-135M-Instruct" in shown(at)


# Files and other pages --------------------------------------------------------------------------------


def test_an_opened_file_is_drawn_without_a_model_and_goes_on(page, finish, monkeypatch, open_page):
    kept = written(page)
    upload = io.BytesIO(writing_bytes(kept))
    upload.name, upload.file_id = "run.writing", "1"
    at = open_page("write")
    monkeypatch.setattr(st, "file_uploader", lambda *a, key, **k: None if key == "open_session" else upload)
    at = at.run()
    assert not at.exception and not at.error
    w = written(at)
    np.testing.assert_array_equal(w.path(), kept.path())
    assert branches_frame(w)["text"].tolist() == branches_frame(kept)["text"].tolist()
    at.button(key="write_more").click()
    at = finish(at.run())
    assert not at.error and len(written(at).branches[0]) > len(kept.branches[0])


def test_a_file_that_is_none_says_so(open_page, monkeypatch):
    upload = io.BytesIO(b"nothing")
    upload.name, upload.file_id = "<b>evil</b>.writing", "1"
    at = open_page("write")
    monkeypatch.setattr(st, "file_uploader", lambda *a, key, **k: None if key == "open_session" else upload)
    at = at.run()
    assert not at.exception and len(at.error) == 1 and "<b>" not in at.error[0].value
    assert n_strips(at) == 1


def test_a_branch_is_read_once_and_opens_on_another_page(page, finish, submitted):
    at = page
    at.button(key="read_on_attention_sinks").click()
    at = finish(at.run())
    assert not at.exception
    assert at.title[0].value == "Attention sinks"
    opened = at.session_state[state.OPENED]
    np.testing.assert_array_equal(opened.tokens.token_id, written(at).path())
    assert "The pictures show an opened file." in shown(at)
    assert [key.partition("/")[0] for key in submitted].count("read") == 1
    assert not [key for key in submitted if key.startswith("run/")]


def test_the_chat_goes_on_with_what_was_said(open_page):
    at = open_page("write")
    at.button(key="answer_it").click()
    at = at.run()
    assert not at.exception
    said = running.example_writing().written(0).strip()
    assert text_field(at, state.turn(0)).value == said and text_field(at, state.turn(1)).value == ""
    at.button(key="drop_turns").click()
    at = at.run()
    assert at.session_state[state.N_TURNS] == 0 and not at.exception
    assert json.loads(json.dumps(messages_of(running.example_writing(), 0)))[-1]["role"] == "assistant"


def test_every_file_of_the_page_can_be_made(page, finish, files):
    at = page.run()
    assert not at.exception
    assert set(files.figures) == {"written.html", "branches.svg", "rules.svg"}
    assert set(files.tables) == {"written", "branches", "rules"}
    assert len(files.tables["written"]) == 20
    assert files.codes["written"].startswith("import analysis as an")
