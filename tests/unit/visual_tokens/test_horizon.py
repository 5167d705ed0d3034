"""The image goes from layer l on: the answer's probability, the horizon, and what each window carries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import analysis as an
from analysis.visual_tokens.answering import answer_logp
from analysis.visual_tokens.boxes import NEWLINE
from analysis.visual_tokens.horizon import (
    DRAWS,
    horizon_layer,
    image_knock_out,
    information_horizon,
    window_information,
    windows_of,
)
from analysis.visual_tokens.parts import language_layers, visual_positions
from analysis.visual_tokens.removal import dropped
from analysis.visual_tokens.tower import read_image_once
from tests.tiny_models.vision import FAMILIES, build_vision, vision_inputs
from tests.tiny_models.vision_model import QUESTION, tiny_vision_model

ANSWER = (23, 31)


@pytest.fixture(scope="module")
def prepared():
    made = {}

    def make(family: str):
        if family not in made:
            model = build_vision(family).double()
            made[family] = model, vision_inputs(family, model, an.scene(4).image)
        return made[family]

    return make


def logp(model, inputs) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs, use_cache=False).logits[0].log_softmax(-1)


@pytest.mark.parametrize("family", FAMILIES)
def test_features_instead_of_pixels_change_nothing(prepared, family):
    model, inputs = prepared(family)
    with torch.no_grad():
        once = read_image_once(model, inputs)
    assert "pixel_values" not in once
    for _ in range(2):  # nothing of it is used up
        assert torch.equal(logp(model, once), logp(model, inputs))


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "paligemma"])
def test_the_curve_is_that_of_texts_without_the_image(prepared, family):
    model, inputs = prepared(family)
    curve = image_knock_out(model, inputs, ANSWER)
    n_layers = len(language_layers(model))
    assert curve["layer"].tolist() == list(range(n_layers + 1)) and curve["change"].iloc[-1] == 0
    longer = dict(inputs, input_ids=torch.cat([inputs["input_ids"], torch.tensor([ANSWER[:1]])], 1))
    for name in ("mm_token_type_ids", "token_type_ids"):
        if name in longer:
            longer[name] = torch.cat([longer[name], longer[name].new_zeros(1, 1)], 1)
    whole = logp(model, longer)[-2:]
    assert curve["answer_logp"].iloc[-1] == pytest.approx(
        float(whole[0, ANSWER[0]] + whole[1, ANSWER[1]]), abs=1e-10
    )
    visual = visual_positions(model, inputs["input_ids"][0])
    for layer in (0, 2):
        with dropped(model, visual, layer):
            short = logp(model, longer)[-2:]
        expected = float(short[0, ANSWER[0]] + short[1, ANSWER[1]])
        assert curve["answer_logp"].iloc[layer] == pytest.approx(expected, abs=1e-10)
    assert curve["change"].abs().iloc[0] > 1e-3


def test_answered_means_every_token_is_the_likeliest(prepared):
    model, inputs = prepared("llava")
    first = int(logp(model, inputs)[-1].argmax())
    assert image_knock_out(model, inputs, (first,))["answered"].iloc[-1]
    assert not image_knock_out(model, inputs, (first, (first + 1) % 64))["answered"].all()


def test_the_horizon_is_where_nothing_changes_any_more():
    curve = pd.DataFrame({"layer": range(6), "change": [-3.0, -0.01, 0.2, -0.04, 0.01, 0.0]})
    assert horizon_layer(curve) == 3, "layer 1 does not count: at 2 it still mattered"
    assert horizon_layer(curve, least=0.02) == 4 and horizon_layer(curve, least=5.0) == 0
    curve.loc[4, "change"] = 1.0
    assert horizon_layer(curve) == 5, "as many as there are layers: the last one still needs it"


def test_windows_by_hand(prepared):
    """Everything is one window: the whole image minus no image. No token: nothing. One token: dropped by hand."""
    model, inputs = prepared("llava")
    visual = visual_positions(model, inputs["input_ids"][0])
    found = window_information(model, inputs, 30, 1, [visual, visual[:0], visual[3:4]])
    with dropped(model, visual, 1):
        none = float(logp(model, inputs)[-1, 30].exp())
    with dropped(model, torch.cat([visual[:3], visual[4:]]), 1):
        one = float(logp(model, inputs)[-1, 30].exp())
    full = float(logp(model, inputs)[-1, 30].exp())
    assert np.allclose(found, [full - none, 0, one - none], atol=1e-12) and abs(one - none) > 1e-6


def test_what_makes_no_sense_is_refused(prepared):
    model, inputs = prepared("llava")
    with pytest.raises(an.AnalysisError, match="no answer"):
        image_knock_out(model, inputs, ())
    with pytest.raises(an.AnalysisError, match="no image"):
        image_knock_out(model, inputs, (3,), torch.tensor([], dtype=torch.int64))


def test_paligemma_reads_its_answer_step_by_step(prepared):
    """What stands before its first word is read both ways, so the answer must not: as its own loop writes."""
    model, inputs = prepared("paligemma")
    with torch.no_grad():
        out = model.generate(
            **inputs, max_new_tokens=3, min_new_tokens=3, do_sample=False, output_logits=True,
            return_dict_in_generate=True,
        )  # fmt: skip
    written = out.sequences[0, -3:].tolist()
    found = answer_logp(model, inputs, written)
    expected = torch.cat(out.logits).log_softmax(-1)
    assert (found - expected).abs().max() < 2e-5, "its loop rounds to float32"
    assert len(image_knock_out(model, inputs, written)) == 5


def test_the_horizon_of_a_question_by_hand():
    vlm = tiny_vision_model("llava", dtype=torch.float64)
    image, ids = an.scene(4).image, [23, 31]
    found = information_horizon(vlm, image, QUESTION, "w3 w11", layers=(1, 3), least=1e-3)
    assert vlm.answer_ids("w3 w11") == ids
    with pytest.raises(an.AnalysisError, match="no token for a part of the answer “w3 zebra”"):
        vlm.answer_ids("w3 zebra")
    inputs = vlm.prepare(image, QUESTION).inputs
    curve = image_knock_out(vlm.model, inputs, ids)
    assert np.array_equal(found.answer_logp, curve["answer_logp"]) and found.horizon == horizon_layer(
        curve, 1e-3
    )
    visual = visual_positions(vlm.model, inputs["input_ids"][0])
    corners = [0, 1, 4, 5]
    assert np.flatnonzero(found.window_of == 0).tolist() == corners and found.alone.shape == (2, 4)
    assert found.window_of.reshape(4, 4)[2:, 2:].tolist() == [[3, 3], [3, 3]]
    window = visual[corners]
    rest = visual[~torch.isin(visual, window)]

    def first(gone: torch.Tensor) -> float:
        with dropped(vlm.model, gone, 3):
            return float(logp(vlm.model, inputs)[-1, ids[0]].exp())

    assert found.alone[1, 0] == pytest.approx(first(rest) - first(visual), abs=1e-12)
    assert found.without[1, 0] == pytest.approx(first(window) - first(visual[:0]), abs=1e-12)
    assert abs(found.alone[1, 0]) > 1e-9 and found.on_picture(3)[corners].tolist() == [found.alone[1, 0]] * 4
    best = int(found.alone[1].argmax())
    assert set(found.window_of[found.oracle(3, 4)]) == {best}
    assert len(found.windows()) == 8 and found.to_frame()["change"].iloc[-1] == 0
    assert information_horizon(vlm, image, QUESTION, "w3", layers=()).alone.shape == (0, 4)
    for bad in ({"layers": (4,)}, {"side": 0}):
        with pytest.raises(an.AnalysisError, match="no such window or layer"):
            information_horizon(vlm, image, QUESTION, "w3", **bad)
    with pytest.raises(an.AnalysisError):
        information_horizon(vlm, image, QUESTION, "")


def test_windows_never_mix_views_of_a_picture():
    vlm = tiny_vision_model("llava_next")
    boxes = vlm.prepare(an.scene(4).image.resize((72, 56)), QUESTION).boxes
    number = windows_of(boxes, 2)
    assert ((number == -1) == (boxes.view == NEWLINE)).all() and (number == -1).any()
    for window in range(number.max() + 1):
        inside = number == window
        assert len(set(boxes.view[inside])) == 1 and inside.sum() <= 4
        assert np.ptp(boxes.row[inside]) <= 1 and np.ptp(boxes.column[inside]) <= 1


def test_some_tokens_alone_are_held_against_random_ones():
    """The numbers are those of hiding these positions by hand, and random sets are others that have none of them."""
    vlm = tiny_vision_model("llava", dtype=torch.float64)
    image, ids = an.scene(4).image, [23, 31]
    inputs = vlm.prepare(image, QUESTION).inputs
    visual = visual_positions(vlm.model, inputs["input_ids"][0])
    h = information_horizon(vlm, image, QUESTION, "w3 w11", layers=(), tokens=[2, 5])
    by_hand = image_knock_out(vlm.model, inputs, ids, visual[[2, 5]])
    assert np.array_equal(h.tokens_logp[0], by_hand["answer_logp"]) and h.tokens == (2, 5)
    assert h.random_logp.shape == (DRAWS, h.n_layers + 1) and len(set(h.random_logp[:, 0])) == DRAWS
    assert h.change_tokens[-1] == 0 and abs(h.change_tokens[0]) > 1e-9
    frame = h.to_frame("bits")
    assert frame["change_tokens_bits"][0] == pytest.approx(h.change_tokens[0] / np.log(2))
    expected = (h.random_logp[:, 0] - h.answer_logp[-1]) / np.log(2)
    found = [frame[f"change_random{name}_bits"][0] for name in ("_low", "", "_high")]
    assert found == pytest.approx([expected.min(), expected.mean(), expected.max()])
    plain = information_horizon(vlm, image, QUESTION, "w3 w11", layers=())
    assert np.array_equal(plain.answer_logp, h.answer_logp) and "change_tokens" not in plain.to_frame()
    half = information_horizon(vlm, image, QUESTION, "w3 w11", layers=(), tokens=range(8))
    rest = image_knock_out(vlm.model, inputs, ids, visual[8:])["answer_logp"]
    assert all(np.array_equal(one, rest) for one in half.random_logp), "all others, whatever is drawn"
    for wrong in ([2, 2], [16], range(9)):
        with pytest.raises(an.AnalysisError, match="no such visual tokens"):
            information_horizon(vlm, image, QUESTION, "w3 w11", layers=(), tokens=wrong)
