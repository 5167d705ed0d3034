"""One picture under many prunings: every family, numbers by hand, and cells that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import analysis as an
from analysis.visual_tokens.accounting import kept_for_average, traced
from analysis.visual_tokens.budgets import choice_for, tokens_of
from analysis.visual_tokens.parts import visual_positions
from analysis.visual_tokens.policies import VisualView, policy
from analysis.visual_tokens.policies.base import Choice, Stage
from analysis.visual_tokens.removal import dropped
from analysis.visual_tokens.sweep import sweep_visual
from tests.tiny_models.vision import FAMILIES
from tests.tiny_models.vision_model import QUESTION, tiny_vision_model

EXACT = 1e-10
ANSWER = "w3 w11"


@pytest.fixture(scope="module")
def picture():
    return an.scene(4).image.resize((72, 56))


@pytest.fixture(scope="module")
def vlm():
    return tiny_vision_model("llava", dtype=torch.float64)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_tokens_are_the_full_pass_in_every_family(family, picture):
    """Kept counts are exact, nothing pruned changes nothing, and something pruned does."""
    own = tiny_vision_model(family, dtype=torch.float64)
    sweep = sweep_visual(
        own, picture, QUESTION, ("random", "divprune", "fastv", "hired"), (2, 1.0), answer=ANSWER, seeds=1
    )
    full, n = sweep.settings[0], sweep.n_visual
    assert full.kept == n and full.kl == 0 and full.average == n and not full.why
    seen = set()
    for one in sweep.settings[1:]:
        if one.why:
            assert one.policy == "hired" and one.kept == -1
            continue
        seen.add(one.policy)
        assert one.kept == (2 if one.asked == 2 else n)
        assert int((one.gone_from == 4).sum()) == one.kept == int((one.merged_into >= 0).sum())
        if one.kept == n:
            assert one.kl < EXACT and one.answer_logp == pytest.approx(full.answer_logp, abs=EXACT)
            assert one.flops == full.flops and one.answer == full.answer
        else:
            assert one.kl > 1e-6 and one.flops < full.flops and one.kv_bytes < full.kv_bytes
    assert seen >= {"random", "divprune", "fastv"}
    assert sweep.n_visual + sweep.n_newlines + sweep.n_text == own.prepare(picture, QUESTION).n_prompt


def test_numbers_are_those_of_the_tokens_dropped_by_hand(vlm, picture):
    sweep = sweep_visual(vlm, picture, QUESTION, ("fastv",), (5,), answer=ANSWER)
    full, one = sweep.settings
    inputs = vlm.prepare(picture, QUESTION).inputs
    visual = visual_positions(vlm.model, inputs["input_ids"][0])
    ids = vlm.answer_ids(ANSWER)
    longer = dict(inputs, input_ids=torch.cat([inputs["input_ids"], torch.tensor([ids])], 1))
    longer.pop("attention_mask", None)

    def logp():
        with torch.no_grad():
            return vlm.model(**longer, use_cache=False).logits[0, -3:].log_softmax(-1)

    whole = logp()
    with dropped(vlm.model, visual[torch.as_tensor(~sweep.kept(1))], 2):
        short = logp()
    kl = (whole.exp() * (whole - short)).sum(-1)
    assert (one.kl_first, one.kl) == pytest.approx((float(kl[0]), float(kl.mean())), abs=EXACT)
    assert abs(float(kl[0]) - float(kl.mean())) > 1e-6
    assert one.answer_logp == pytest.approx(float(short[0, ids[0]] + short[1, ids[1]]), abs=EXACT)
    assert full.answer_logp == pytest.approx(float(whole[0, ids[0]] + whole[1, ids[1]]), abs=EXACT)
    assert set(one.gone_from.tolist()) == {2, 4} and one.average == (2 * 16 + 2 * 5) / 4 and one.floor == 8
    frame = sweep.to_frame("bits")
    assert frame["change_bits"][1] * np.log(2) == pytest.approx(one.answer_logp - full.answer_logp)
    assert frame["flops"][0] == 1 and frame["kept"].tolist() == [16, 5]


def test_the_answer_is_what_is_written_under_the_choice(vlm, picture):
    """Without an answer all tokens' own words are it; a pruned answer is that of the library's loop."""
    sweep = sweep_visual(vlm, picture, QUESTION, ("random",), (1,), seeds=3, max_new=4)
    assert sweep.settings[0].right and sweep.settings[0].answer == sweep.answer and not sweep.is_right_answer
    inputs = vlm.prepare(picture, QUESTION).inputs
    visual = visual_positions(vlm.model, inputs["input_ids"][0])
    for number in (1, 2, 3):
        gone = visual[torch.as_tensor(~sweep.kept(number))]
        ids = inputs["input_ids"]
        for _ in range(4):
            with dropped(vlm.model, gone, 0), torch.no_grad():
                new = vlm.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0, -1].argmax()
            ids = torch.cat([ids, new[None, None]], 1)
            if new == 2:
                break
        said = vlm.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert sweep.settings[number].answer == said.strip()
        assert sweep.settings[number].right == (said.strip() == sweep.answer)


def test_what_cannot_be_stays_empty_and_says_why(vlm, picture):
    sweep = sweep_visual(vlm, picture, QUESTION, ("hired", "downsampling", "fastv"), (3, 4), answer=ANSWER)
    frame = sweep.to_frame().set_index(["policy", "asked"])
    assert "without crops" in frame.loc[("hired", 4), "why"]
    assert "Blocks of this grid leave 1, 4, 16 tokens" in frame.loc[("downsampling", 3), "why"]
    empty = frame.loc[[("hired", 4), ("downsampling", 3)]]
    assert empty[["kept", "average", "flops", "kl", "answer_logp", "right", "answer"]].isna().all(axis=None)
    assert frame.loc[("downsampling", 4), "kept"] == 4 and frame.loc[("fastv", 3), "why"] == ""
    small = next(s for s in sweep.settings if s.policy == "downsampling" and not s.why)
    assert small.merged_into.reshape(4, 4)[:2, :2].tolist() == [[0, 0], [0, 0]] and small.kept == 4
    for bad in (17, 1.5, 0.0, True):
        with pytest.raises(an.AnalysisError, match="cannot be kept"):
            sweep_visual(vlm, picture, QUESTION, ("random",), (bad,))
    with pytest.raises(an.AnalysisError, match="no method"):
        sweep_visual(vlm, picture, QUESTION, ("fastest",))


def test_amounts():
    assert [tokens_of(k, 144) for k in (0.25, 1 / 9, 1.0, 36, 0)] == [36, 16, 144, 36, 0]


def test_an_average_over_layers_is_the_nearest_that_can_be():
    view = VisualView(
        torch.randn(144, 8, generator=torch.Generator().manual_seed(0)),
        torch.arange(144) // 12,
        torch.arange(144) % 12,
        8,
        attention={i: torch.rand(2, 3, 144, generator=torch.Generator().manual_seed(i)) for i in range(8)},
        question=torch.randn(3, 8),
    )
    for average in (37, 40, 72, 144):
        found = choice_for(policy("fastv"), view, average, "average")
        assert len(found.kept) == kept_for_average(144, average, 2, 8)
    assert len(choice_for(policy("random"), view, 36, "average").kept) == 36
    assert len(choice_for(policy("fastv"), view, 36).kept) == 36
    with pytest.raises(an.AnalysisError, match="in its first 2 layers: no average below 36"):
        choice_for(policy("fastv"), view, 36, "average")
    with pytest.raises(an.AnalysisError, match="Blocks of this grid"):
        choice_for(policy("downsampling"), view, 50, "average")
    none = choice_for(policy("drop_all"), view, 90, "average")  # 5 of 8 layers see all 144
    assert len(none.kept) == 0 and none.layer == 5
    with pytest.raises(an.AnalysisError, match="It keeps none"):
        choice_for(policy("drop_all"), view, 91, "average")
    several = choice_for(policy("sparsevlm"), view, 60, "average")
    counts = [144 if i < several.stages[0].layer else 0 for i in range(8)]
    for stage in several.stages:
        counts[stage.layer :] = [len(stage.kept)] * (8 - stage.layer)
    assert abs(np.mean(counts) - 60) < 1


def test_where_each_token_went():
    mix = torch.zeros(2, 6)
    mix[0, [0, 1]], mix[1, [2, 3]] = 0.5, torch.tensor([0.9, 0.1])
    choice = Choice(6, (Stage(0, torch.tensor([0, 2]), mix), Stage(3, torch.tensor([2]), mix[1:])))
    gone_from, merged_into = traced(choice, 5)
    assert gone_from.tolist() == [3, 0, 5, 0, 0, 0] and merged_into.tolist() == [-1, -1, 2, 2, -1, -1]
    gone_from, merged_into = traced(Choice(3, (Stage(7, torch.tensor([1])),)), 5)
    assert gone_from.tolist() == [5, 5, 5], "no layer goes without"


def test_it_can_be_stopped_and_shows_what_it_has(vlm, picture):
    partial = []

    def stop(_share, what):
        if what.startswith("DivPrune"):
            raise an.Cancelled

    with pytest.raises(an.Cancelled):
        sweep_visual(
            vlm, picture, QUESTION, ("random", "divprune"), (2, 4), seeds=1, on_progress=stop,
            on_partial=partial.append,
        )  # fmt: skip
    assert [len(p.settings) for p in partial] == [2, 3]
    assert vlm.lock.acquire(blocking=False), "the model is free again"
    vlm.lock.release()
