"""Every lesson on its stored result: its points hold, its words are made from the numbers, and nothing is shown too early."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from analysis.lessons.first_token import claims as first_token
from analysis.lessons.forgetting import claims as forgetting
from analysis.lessons.forks import claims as forks
from analysis.lessons.hand_out import FOLDER, hand_out_svg, notes_markdown
from analysis.lessons.lesson import Lesson, Step, within
from analysis.lessons.measuring import stored_run
from analysis.lessons.registry import LESSONS
from analysis.lessons.reward import claims as reward
from analysis.lessons.surprise import claims as surprise
from analysis.lessons.variety import claims as variety
from tests.architecture.test_imports import modules_after

STEPS = [(lesson, step) for lesson in LESSONS.values() for step in lesson.steps]
each_step = pytest.mark.parametrize(
    ("lesson", "step"), STEPS, ids=[f"{lesson.slug}-{step.name}" for lesson, step in STEPS]
)
each_lesson = pytest.mark.parametrize("lesson", LESSONS.values(), ids=list(LESSONS))


@cache
def stored(slug: str) -> Any:
    return LESSONS[slug].stored()


@each_step
def test_the_point_holds_on_the_stored_result_and_is_said_in_two_sentences(lesson: Lesson, step: Step):
    measured = stored(lesson.slug)
    found = step.find(measured)
    assert step.holds(measured) and found.option == step.point
    assert 2 <= len(step.options) <= 4 and len({option.label for option in step.options}) == len(step.options)
    assert 2 <= len(re.findall(r"[.!?”](?= [A-Z“0-9]|$)", found.said)) <= 3, found.said
    assert re.search(r"\d", found.said) and len(found.said) < 420
    assert len(step.question(measured)) <= 250, "three lines on a projector"


@each_step
def test_the_slider_moves_over_all_places_and_the_answer_is_covered_before_it(lesson: Lesson, step: Step):
    measured = stored(lesson.slug)
    slider = step.slider(measured)
    assert slider.low <= slider.start <= slider.high and slider.low < slider.high
    for at, theme_name in ((slider.low, "light"), (slider.high, "dark")):
        drawn = step.draw(measured, at, True, theme_name)
        assert 1 <= len(drawn) <= 2 and all(one.alt and one.title for one in drawn)
        if step.excerpt is not None:
            assert step.excerpt(measured, at).token
    then = slider.start if slider.then is None else slider.then
    before, after = (
        [one.chart.to_dict() for one in step.draw(measured, slider.start, shown, "light")]
        for shown in (False, True)
    )
    if (lesson.slug, step.name) != ("forks", "elsewhere"):  # its answer is a text, which no picture shows
        assert before != after
    assert slider.low <= then <= slider.high


def test_what_a_prediction_is_about_is_not_in_the_covered_picture():
    m = stored("first-token")
    step = LESSONS["first-token"].steps[0]
    values = [
        {
            round(row["value"], 6)
            for rows in one.chart.to_dict()["datasets"].values()
            for row in rows
            if "value" in row
        }
        for one in step.draw(m, 24, False, "light")
    ]
    gets = round(float(m.attention.received[24, :, 0].astype(float).mean()), 6)
    assert gets not in values[0] and gets > 0.5


def test_within_puts_a_limit_into_the_interval_above_it():
    assert [within(x, (1.0, 2.0)) for x in (0.9, 1.0, 1.9, 2.0, 3.0)] == [0, 1, 1, 2, 2]


# Numbers of the claims, each by a second way ---------------------------------------------------------------


def test_numbers_of_surprise():
    trace = stored_run("story")
    at = surprise.most_surprising(trace)
    assert trace.tokens.text[at] == " atlas" and at >= surprise.WARM_UP
    assert surprise.first_choice_share(trace) == pytest.approx(
        sum(rank == 1 for rank in trace.tokens.rank[1:]) / (len(trace.tokens) - 1)
    )
    entropy, surprisal = (x[1:].astype(float) for x in (trace.tokens.entropy, trace.tokens.surprisal))
    apart = ((entropy - entropy.mean()) * (surprisal - surprisal.mean())).mean()
    assert surprise.correlation(trace) == pytest.approx(apart / entropy.std() / surprisal.std())
    first, again = surprise.returning(trace)
    assert first == at and trace.tokens.token_id[again] == trace.tokens.token_id[at] and again > at
    assert trace.tokens.token_id[again - 1] == trace.tokens.token_id[at - 1]


def test_numbers_of_the_first_token():
    m = first_token.stored()
    mass = m.attention.sink_mass
    first, second = first_token.halves(m)
    assert (15 * first + 15 * second) / 30 == pytest.approx(float(mass.mean()), rel=1e-5) and second > first
    moved = replace(m, hidden_received=np.eye(len(m.hidden_received), dtype=np.float32)[7])
    assert first_token.next_sink(moved) == (7, 1.0)
    assert first_token.find_hidden(moved).option == 2
    spread = replace(m, hidden_received=np.full(len(m.hidden_received), 0.01, np.float32))
    assert first_token.find_hidden(spread).option == 0
    values = m.attention.value_norm
    rows = [k for k in range(30) if mass[k].mean() > 2 * m.attention.sink_baseline[k]]
    by_hand = [(values[k, :, 0] / np.median(values[k, :, 1:], axis=1)).mean() for k in rows]
    assert first_token.value_over_others(m) == pytest.approx(float(np.median(by_hand)), rel=1e-5)


def test_numbers_of_variety():
    trace = stored_run("story")
    norms = trace.layers.residual_norm
    assert variety.times_others(trace)[12] == pytest.approx(norms[12, 0] / np.median(norms[12, 1:]), rel=1e-5)
    whole, without = variety.varieties(trace)
    shares = trace.layers.spectrum[0, 12]
    assert whole[12] == pytest.approx(-sum(p * np.log(p) for p in shares if p > 0))
    assert variety.fall_layer(trace) == 12
    assert variety.remaining(trace) == pytest.approx((without[11] - without[12]) / (whole[11] - whole[12]))


def test_a_text_without_the_fall_says_so():
    """The spectra of both counts are the same: then it is not token 0."""
    trace = stored_run("story")
    both = np.stack([trace.layers.spectrum[0]] * 2)
    found = variety.find_without(replace(trace, layers=replace(trace.layers, spectrum=both)))
    assert found.option == 0 and "not token 0 alone" in found.said and "100 %" in found.said


def test_numbers_of_forks():
    m = forks.stored()
    n = m.numbers
    assert n.entropy[m.fork] == n.entropy[: len(n.entropy) - forks.N_AFTER // 2].max()
    assert forks.unsure_share(m) == pytest.approx(sum(p < 0.5 for p in n.max_prob) / len(n.max_prob))
    highest = sorted(n.entropy.astype(float))[-8:]
    assert len(n.entropy) == 40 and forks.top_share(m) == pytest.approx(
        sum(highest) / n.entropy.astype(float).sum()
    )
    assert forks.price(m, m.fork) == pytest.approx(
        float(n.top_logprobs[m.fork, 0]) - float(n.top_logprobs[m.fork, 1])
    )
    same, of = forks.same_after(m)
    ids, other = m.writing.branches[0].ids[m.fork + 1 :], m.writing.branches[1].ids[1:]
    assert of == 16 and same == longest_common(ids[:16].tolist(), other[:16].tolist())
    assert m.writing.branches[1].ids[0] == n.top_ids[m.fork, 1]


def longest_common(a: list[int], b: list[int]) -> int:
    """Length of the longest common subsequence, by its recursion."""
    lengths = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            lengths[i + 1, j + 1] = lengths[i, j] + 1 if x == y else max(lengths[i, j + 1], lengths[i + 1, j])
    return int(lengths[-1, -1])


def test_one_word_put_in_does_not_make_all_that_follow_other_ones():
    m = forks.stored()
    first, second, *rest = m.writing.branches
    after = first.ids[m.fork + 1 :]
    moved = np.concatenate([second.ids[:1], [7], after])
    same, of = forks.same_after(
        replace(m, writing=replace(m.writing, branches=(first, replace(second, ids=moved), *rest)))
    )
    assert (same, of) == (len(after) - 1, len(after))


def test_numbers_of_forgetting():
    m = forgetting.stored()
    s = m.survived
    h2o = s.names.index("h2o")
    at = [round(x, 3) for x in s.kept.tolist()].index(0.5)
    assert m.mean_surprisal("h2o", 0.5) == pytest.approx(float(s.surprisal[h2o, at].mean()), rel=1e-5)
    assert forgetting.cost(m, "h2o", 0.5) == pytest.approx(
        float(s.surprisal[h2o, at].mean() - s.full.mean()), rel=1e-3
    )
    np.testing.assert_allclose(s.full[1:], m.trace.tokens.surprisal[s.n_context + 1 :], atol=1e-2)
    first, again = forgetting.needed(m)
    assert first < s.n_context < again and m.trace.tokens.text[first] == " atlas"


def test_a_method_that_cannot_keep_so_few_is_left_out():
    m = forgetting.stored()
    surprisal = m.survived.surprisal.copy()
    surprisal[m.survived.names.index("h2o"), m.survived.at(forgetting.FEW)] = np.nan
    found = forgetting.find_who(replace(m, survived=replace(m.survived, surprisal=surprisal)))
    assert found.option == forgetting.METHODS.index("knorm")
    assert "not available" not in found.said and "not run with so few tokens: the most attended" in found.said


def test_a_word_that_was_no_surprise_brings_nothing_back():
    m = forgetting.stored()
    first, again = forgetting.needed(m)
    full = m.survived.full.copy()
    full[again - m.survived.n_context] = m.trace.tokens.surprisal[first] + 1
    found = forgetting.find_again(replace(m, survived=replace(m.survived, full=full)))
    assert found.option is None and "nothing that could come back" in found.said


def test_the_heads_are_named_only_where_they_look_at_token_0():
    m = forgetting.stored()
    even = np.broadcast_to(m.trace.attention.sink_baseline[:, None], m.trace.attention.sink_mass.shape)
    alike = replace(m, trace=replace(m.trace, attention=replace(m.trace.attention, sink_mass=even)))
    assert "many heads" in forgetting.find_first(m).said
    assert "many heads" not in forgetting.find_first(alike).said


def test_numbers_of_reward():
    m = reward.stored()
    run = m.plain
    first, last = float(run.entropy[:3].mean()), float(run.entropy[-10:].mean())
    assert reward.ends(run.entropy) == pytest.approx((first, last))
    assert reward.early_share(run) == pytest.approx(
        (first - float(run.entropy[40:50].mean())) / (first - last)
    )
    # One token in five is a fork: the whole loss is a fifth of theirs and four fifths of the others'.
    assert 0.2 * run.fork_entropy + 0.8 * run.follower_entropy == pytest.approx(run.entropy, rel=1e-4)
    flat = replace(run, entropy=np.full_like(run.entropy, 0.3))
    assert reward.find_entropy(replace(m, plain=flat)).option == 0


# What is made from them ------------------------------------------------------------------------------------


@each_lesson
def test_notes_and_hand_out_are_those_of_the_lesson(lesson: Lesson):
    """``python -m analysis.lessons.hand_out`` writes them again."""
    assert (FOLDER / f"{lesson.slug}.md").read_text(encoding="utf-8") == notes_markdown(lesson)
    pdf = (FOLDER / f"{lesson.slug}.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 1
    svg = hand_out_svg(lesson)
    assert all(option.label.replace("'", "&#x27;") in svg for step in lesson.steps for option in step.options)


def test_the_first_prediction_waits_for_no_model():
    """From a link to the question and its picture: stored results are read and drawn without torch."""
    loaded = modules_after(
        "from analysis.lessons.registry import LESSONS\n"
        "for lesson in LESSONS.values():\n"
        "    measured, step = lesson.stored(), lesson.steps[0]\n"
        "    step.question(measured), step.draw(measured, step.slider(measured).start, False, 'light')"
    )
    assert "altair" in loaded and not loaded & {"torch", "transformers", "tokenizers", "streamlit"}
