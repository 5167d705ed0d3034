"""Two answers beside each other: differences of known attention, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import analysis as an
from analysis.errors import AnalysisError
from tests.visual_answers import made_answer, same_picture

N = 16


def with_rows(answer, weights):
    """The answer with these weights, (A, N), in every layer and head of its written tokens."""
    mean = np.repeat(np.asarray(weights, np.float32)[:, None], answer.spec.n_layers, 1)
    attention = np.repeat(mean[:, :, None], answer.spec.n_heads, 2)
    return replace(answer, looking=replace(answer.looking, mean=mean, attention=attention))


def rows(*places: tuple[int, float]) -> np.ndarray:
    found = np.zeros((3, N))
    for place, weight in places:
        found[:, place] = weight
    return found


def test_a_difference_is_b_less_a_of_the_tokens_that_are_chosen():
    a, b = made_answer(N), same_picture(N)
    pair = an.compare_answers(a, b)
    assert pair.same_picture
    expected = b.looking.mean[2, 1].astype(float) - a.looking.mean[0, 1].astype(float)
    np.testing.assert_array_equal(pair.difference((0, 2), 1), expected)
    expected = b.looking.attention[1, :, 1].mean(0).astype(float) - a.looking.attention[1, :, 1].mean(
        0
    ).astype(float)
    np.testing.assert_array_equal(pair.difference((1, 1), None, 1), expected)


def test_what_moved_is_half_of_the_absolute_differences_of_shares():
    """A puts 0.2 + 0.2 on patches 1 and 2; B, which looks half as much, 0.1 + 0.1 on 2 and 3: half of it moved."""
    a = with_rows(made_answer(N), rows((1, 0.2), (2, 0.2)))
    b = with_rows(same_picture(N), rows((2, 0.1), (3, 0.1)))
    assert an.compare_answers(a, b).moved() == pytest.approx(0.5)
    assert an.compare_answers(a, a).moved() == 0
    apart = with_rows(b, rows((7, 0.3)))
    assert an.compare_answers(a, apart).moved() == pytest.approx(1)


def test_sinks_of_either_are_left_out_of_what_moved():
    """Patch 0 is a sink of both, and has nine tenths of either: what is left has nothing in common."""
    a = with_rows(made_answer(N), rows((0, 0.9), (1, 0.1)))
    b = with_rows(same_picture(N), rows((0, 0.9), (2, 0.1)))
    pair = an.compare_answers(a, b)
    assert pair.sinks()[0]
    assert pair.moved() == pytest.approx(0.1) and pair.moved(without_sinks=True) == pytest.approx(1)
    only_sink = an.compare_answers(with_rows(a, rows((0, 0.9))), b)
    assert np.isnan(only_sink.moved(without_sinks=True))


def test_numbers_of_both_stand_beside_their_difference():
    a, b = made_answer(N), same_picture(N)
    pair = an.compare_answers(a, b)
    frame = pair.to_frame().set_index("quantity")
    assert frame.loc["probability", "a"] == pytest.approx(np.exp(-a.tokens.surprisal.astype(float).sum()))
    entropy = frame.loc["entropy"]
    assert entropy["b"] == pytest.approx(b.tokens.entropy.mean()) and entropy["unit"] == "nats"
    assert entropy["difference"] == entropy["b"] - entropy["a"] != 0
    in_bits = pair.to_frame("bits").set_index("quantity").loc["entropy"]
    assert in_bits["unit"] == "bits" and in_bits["a"] == pytest.approx(entropy["a"] / np.log(2))
    shares = frame.loc[[f"attention on {where}" for where in ("the picture", "text", "position 0")], "a"]
    assert shares.sum() == pytest.approx(1, abs=1e-6) and (shares > 0).all()
    assert shares["attention on text"] == pytest.approx(
        (a.looking.share_text - a.looking.share_first).mean(), abs=1e-6
    )


def test_patches_of_two_pictures_are_never_subtracted():
    pair = an.compare_answers(made_answer(N), made_answer(N, seed=1))
    assert not pair.same_picture
    for ask in (pair.difference, pair.moved):
        with pytest.raises(AnalysisError, match="different pictures"):
            ask()


def test_answers_of_two_models_are_refused():
    a = made_answer(N)
    for change in ({"model": "another"}, {"n_layers": 5}):
        with pytest.raises(AnalysisError, match="two models"):
            an.compare_answers(a, replace(a, spec=replace(a.spec, **change)))
    an.compare_answers(a, replace(a, spec=replace(a.spec, revision="of another machine")))
