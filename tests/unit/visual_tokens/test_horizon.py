"""The image goes from layer l on: the answer's probability, the horizon, and what each window carries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import analysis as an
from analysis.visual_tokens.horizon import horizon_layer, image_knock_out, window_information
from analysis.visual_tokens.parts import language_layers, visual_positions
from analysis.visual_tokens.removal import dropped
from analysis.visual_tokens.tower import read_image_once
from tests.tiny_models.vision import FAMILIES, build_vision, vision_inputs

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
    model, inputs = prepared("paligemma")
    with pytest.raises(an.AnalysisError, match="both ways"):
        image_knock_out(model, inputs, ANSWER)
    assert len(image_knock_out(model, inputs, ANSWER[:1])) == 5
