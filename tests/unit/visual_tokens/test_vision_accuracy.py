"""Accuracy of the shipped model: intervals, conditions, and that packed answers are the ones it writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.visual_tokens.intervals import paired_difference, wilson
from analysis.visual_tokens.scenes.plan import SIDE
from analysis.visual_tokens.shipped.__main__ import table
from analysis.visual_tokens.shipped.accuracy import CONDITIONS, Answers, measure_answers, pool
from analysis.visual_tokens.shipped.build import build_model, build_processor
from analysis.visual_tokens.shipped.packed_pass import answer_logits, answered_right, patch_states, project
from analysis.visual_tokens.shipped.packing import Packer, draw, pixels_of
from analysis.visual_tokens.shipped.words import build_tokenizer


@pytest.fixture(scope="module")
def packer():
    return Packer(build_tokenizer())


def test_wilson_by_hand():
    """9 of 10: (0.9 + z²/20) / (1 + z²/10) -+ z sqrt(0.009 + z²/400) / (1 + z²/10)."""
    found = wilson(9, 10)
    assert (found.value, found.low, found.high) == pytest.approx((0.9, 0.5958, 0.9821), abs=1e-4)
    assert wilson(10, 10).high == 1.0 and wilson(10, 10).low == pytest.approx(0.7225, abs=1e-4)
    assert wilson(0, 10).low == 0.0 and np.isnan(wilson(0, 0).low)
    assert wilson(950, 1000).high - wilson(950, 1000).low == pytest.approx(0.0272, abs=2e-4)


def test_questions_of_one_picture_share_its_fate():
    """Ten pictures whose hundred questions rise or fall together: as sure as ten questions, not as a thousand."""
    picture = np.repeat(np.arange(10), 100)
    b = picture < 5
    together = paired_difference(np.zeros(1000), b, picture)
    alone = paired_difference(np.zeros(1000), b, np.arange(1000))
    assert together.value == alone.value == 0.5
    assert together.high - together.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 10), rel=0.12)
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 1000), rel=0.12)
    shifted = paired_difference(b, b, picture)
    assert (shifted.value, shifted.low, shifted.high) == (0, 0, 0), "paired: what both share cancels"
    assert paired_difference(b, np.ones(1000), picture).value == 0.5


def test_pictures_with_more_questions_weigh_more():
    assert paired_difference(np.zeros(4), np.array([1, 1, 1, 0]), np.array([7, 7, 7, 2])).value == 0.75


def test_two_by_two_tokens_become_one_at_their_middle():
    tokens = torch.arange(144.0).reshape(1, 144, 1).expand(2, 144, 3)
    pooled, places = pool(tokens, 2)
    assert pooled.shape == (2, 36, 3)
    # rows 0 and 1, columns 0 and 1: places 0, 1, 12, 13
    assert pooled[0, 0].tolist() == [6.5] * 3 and places[0] == 6.5
    assert places[1] == 8.5 and places[6] == 30.5 and places == sorted(places)
    same, all_places = pool(tokens, 1)
    assert torch.equal(same, tokens) and all_places == list(range(144))


@torch.no_grad()
def test_tokens_in_their_own_places_change_nothing(packer):
    """Packed with all places written as real numbers, the pass is the plain one."""
    model, scenes = build_model().double(), draw([0, 1])
    tokens = project(model, patch_states(model, pixels_of(scenes).double()))
    plain = packer.pack([s.questions for s in scenes])
    real = packer.pack([s.questions for s in scenes], [float(i) for i in range(144)])
    assert torch.allclose(answer_logits(model, tokens, plain), answer_logits(model, tokens, real), atol=1e-12)


@torch.no_grad()
def test_packed_answers_are_the_ones_the_model_writes(packer):
    """A question counts as right exactly if greedy writing gives its answer, token by token, and the end."""
    model, processor, tokenizer = build_model(5), build_processor(), build_tokenizer()
    scenes = draw([2, 3])
    # an untrained model is never right: the first token of each right answer is what it would say
    batch = packer.pack([s.questions for s in scenes])
    logits = answer_logits(model, project(model, patch_states(model, pixels_of(scenes))), batch)
    number = 0
    for s in scenes:
        for q in s.questions:
            inputs = processor(images=s.image, text=f"<image> {q.text}", return_tensors="pt")
            written = model.generate(**inputs, max_new_tokens=1, do_sample=False)[0, -1]
            first = logits[batch.question == number][0].argmax()
            assert written == first, (q, tokenizer.decode(written))
            number += 1
    assert answered_right(logits, batch).sum() < len(batch.kinds)


def test_every_condition_is_measured(packer):
    found = measure_answers(build_model().eval(), packer, range(34))
    n = len(found.kind)
    assert set(found.right) == {*CONDITIONS, "majority"}
    assert all(v.shape == (n,) and v.dtype == bool for v in found.right.values())
    assert set(found.picture) == set(range(34))
    assert 0.15 < found.share("majority").value < 0.5
    rows = found.rows()
    assert rows[-1]["kind"] == "all" and rows[-1]["questions"] == sum(r["questions"] for r in rows[:-1]) == n


def test_what_is_lost_is_what_was_right_before():
    right = {"full": np.array([1, 1, 1, 0], bool), "pooled": np.array([1, 0, 0, 1], bool)}
    answers = Answers(np.arange(4), np.array(["count"] * 4), right)
    assert answers.lost("pooled").value == 0.5
    assert answers.share("pooled").value == 0.5 and np.isnan(answers.share("full", "reading").value)


def test_the_table_says_what_was_measured():
    right = {name: np.array([1, 0], bool) for name in (*CONDITIONS, "majority")} | {
        "pooled": np.array([0, 0], bool)
    }
    text = table(Answers(np.arange(2), np.array(["count", "reading"]), right))
    assert "| count | 1 | 100.0 (20.7 to 100.0) | 100.0 | 100.0 | 100.0 | 0.0 |" in text
    assert "| reading | 1 | 0.0 (0.0 to 79.3) |" in text and "| all | 2 | 50.0" in text
    assert "wrong when pooled: 50.0 %" in text and "wrong when blurred: 0.0 %" in text
    assert "| relation | 0 | nan" in text


def test_a_scene_is_square():
    assert pixels_of(draw([0])).shape == (1, 3, SIDE, SIDE)
