"""Test scenes under many prunings: packed rows are single questions, a killed run goes on, and shares by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import analysis as an
from analysis.models.loading import ModelInfo
from analysis.models.spec import ModelSpec
from analysis.visual_tokens import table
from analysis.visual_tokens.scene_horizon import horizon_over_scenes
from analysis.visual_tokens.shipped import packed_questions
from analysis.visual_tokens.shipped.accuracy import blurred_pixels
from analysis.visual_tokens.shipped.build import build_model, build_processor
from analysis.visual_tokens.split_figures import split_curves, split_rows, split_sentence
from analysis.visual_tokens.split_results import BLURRED, SplitCell, SplitSweep, load_split_sweep
from analysis.visual_tokens.split_sweep import sweep_split
from analysis.visual_tokens.sweep import sweep_visual
from analysis.visual_tokens.vision_model import VisionModel
from tests.tiny_models.vision_model import tiny_vision_model

EXACT = 1e-8


@pytest.fixture(scope="module")
def vlm():
    """The shipped model's form with random weights, large enough that the picture matters."""
    model = build_model(3).double().eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for value in model.parameters():
            if value.ndim > 1:
                torch.nn.init.normal_(value, std=1.3 / value[0].numel() ** 0.5)
    processor = build_processor()
    info = ModelInfo(
        name="random", family="llava", revision="made", device="cpu", device_name="CPU", dtype="float64",
        n_parameters=1, bytes_held=0, n_layers=8, hidden_size=128, vocab_size=1, n_padded_ids=0,
        context_length=256, head_error=0.0,
    )  # fmt: skip
    return VisionModel(model, processor, processor.tokenizer, ModelSpec("made/random"), info)


def small_blocks(monkeypatch):
    monkeypatch.setattr(packed_questions, "BLOCK", 1)


def test_packed_questions_are_questions_asked_one_at_a_time(vlm):
    """Every method of the table: two scenes in one pass against one question by itself."""
    sweep = sweep_split(vlm, table.METHODS, (36, 5), questions=8, seeds=1)
    assert sweep.is_done and len(sweep) == 8
    scene = an.scene(0)
    assert sweep.picture.tolist() == [0] * len(scene.questions) + [1] * (8 - len(scene.questions))
    number = 3
    question = scene.questions[number]
    assert sweep.kind[number] == question.kind
    # draws of a scene begin with its seed, so those of scene 0 are the first ones
    alone = sweep_visual(
        vlm, scene.image, question.text, table.METHODS, (36, 5), answer=question.answer, seeds=1
    )
    assert sweep.answer_logp[0, number] == pytest.approx(alone.settings[0].answer_logp, rel=EXACT)
    changed = 0
    for one in alone.settings[1:]:
        cell = sweep.cell(one.policy, int(one.asked))
        assert (cell is None) == bool(one.why), one
        if cell is None:
            continue
        assert one.kept == sweep.kept[cell, number] == one.asked
        assert one.average == sweep.average[cell, number] and one.flops == sweep.flops[cell, number]
        assert one.answer_logp == pytest.approx(sweep.answer_logp[cell, number], rel=EXACT), one.policy
        assert one.kl == pytest.approx(sweep.kl[cell, number], rel=1e-6, abs=EXACT), one.policy
        assert one.right == bool(sweep.right[cell, number])
        changed += one.kl > 1e-6
    assert changed == len(alone.settings) - 2, "pruning matters, and one cell is empty"
    why = {c.policy: c.why for c in sweep.cells if c.why}
    assert list(why) == ["downsampling"] and "Blocks" in why["downsampling"]


def same(a: SplitSweep, b: SplitSweep) -> bool:
    names = ("picture", "kind", "right", "answer_logp", "kl", "kept", "average", "flops", "blurred")
    return a.cells == b.cells and all(
        np.array_equal(getattr(a, n), getattr(b, n), equal_nan=n not in ("kind",)) for n in names
    )


def test_a_run_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(vlm, tmp_path, monkeypatch):
    small_blocks(monkeypatch)
    file, seen = tmp_path / "sweep", []

    def kill(share, _what):
        seen.append(share)
        if file.exists() and share > 0.6:
            raise an.Cancelled

    more = {"questions": 13, "seeds": 2}
    with pytest.raises(an.Cancelled):
        sweep_split(vlm, ("sparsevlm",), (36, 8), file=file, on_progress=kill, **more)
    assert seen == sorted(seen) and [p.name for p in tmp_path.iterdir()] == ["sweep"], "no part is left"
    begun = load_split_sweep(file)
    assert 0 < len(begun) < 13 and not begun.is_done
    resumed = sweep_split(vlm, ("sparsevlm",), (36, 8), file=file, **more)
    assert same(resumed, sweep_split(vlm, ("sparsevlm",), (36, 8), **more)) and resumed.is_done
    assert same(resumed, load_split_sweep(file))
    started = []
    again = sweep_split(
        vlm, ("sparsevlm",), (36, 8), file=file, on_progress=lambda share, _w: started.append(share), **more
    )
    assert same(again, resumed) and started == [1.0], "nothing is asked twice"
    with pytest.raises(an.AnalysisError, match="other settings"):
        sweep_split(vlm, ("sparsevlm",), (36, 9), file=file, **more)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(an.AnalysisError, match="damaged"):
        sweep_split(vlm, ("sparsevlm",), (36, 8), file=file, **more)


def test_only_what_reads_scenes_is_asked(vlm):
    with pytest.raises(an.AnalysisError, match="not asked about scenes"):
        sweep_split(tiny_vision_model("llava"), ("fastv",))
    with pytest.raises(an.AnalysisError, match="twice"):
        sweep_split(vlm, ("fastv", "fastv"))
    with pytest.raises(an.AnalysisError, match="no such questions"):
        sweep_split(vlm, ("fastv",), questions=0)
    with pytest.raises(an.AnalysisError, match="cannot be kept"):
        sweep_split(vlm, ("fastv",), (145,))


def made(*rows: tuple[str, int, list[float]], picture: list[int], why: str = "") -> SplitSweep:
    """A sweep of which only who is right matters."""
    right = np.array([r for *_, r in rows], float)
    cells = tuple(SplitCell(name, name, asked, "" if r else why) for name, asked, r in rows)
    nothing = np.ones_like(right)
    kind = np.array(["count", "read"] * (len(picture) // 2))
    return SplitSweep(
        {"questions": len(picture)}, cells, np.array(picture), kind, right, nothing, nothing, nothing, nothing,
        nothing,
    )  # fmt: skip


def test_the_blurred_control_is_the_blurred_picture_with_all_tokens():
    vlm = an.load_vision_model()
    sweep = sweep_split(vlm, (), (36,), questions=24, seeds=1)
    asked = [(one, q) for one in (an.scene(k) for k in range(6)) for q in one.questions][:24]
    right = [an.ask(vlm, Image.fromarray(blurred_pixels(one)), q.text).text == q.answer for one, q in asked]
    assert sweep.blurred.tolist() == right and 0 < sum(right) < 24
    assert sweep.blurred.tolist() != sweep.right[0].tolist(), "detail matters"


def test_the_blurred_control_is_a_row_of_its_own(tmp_path):
    sweep = made(
        ("full", 144, [1, 1, 1, 0]),
        ("downsampling", 36, [1, 0, 0, 0]),
        ("random", 36, [0, 0, 0, 1]),
        picture=[0, 0, 1, 1],
    )
    assert BLURRED not in set(sweep.to_frame()["policy"])
    sweep = replace(sweep, blurred=np.array([1, 1, 0, np.nan]))
    row = sweep.to_frame().set_index("policy").loc[BLURRED]
    assert row["right"] == pytest.approx(2 / 3) and (row["questions"], row["asked"]) == (3, 144)
    assert sweep.to_frame("count").set_index("policy").loc[BLURRED, "right"] == pytest.approx(1 / 2)
    assert BLURRED not in set(
        split_rows(sweep)["policy"]
    ) and "66.7 % of a blurred picture" in split_sentence(sweep)
    assert "| blurred picture, all tokens | 144 | 144.0 | 100.0 | 66.7 (" in table.long_table(
        sweep.to_frame()
    )
    rules = [
        layer
        for layer in split_curves(sweep).to_dict()["layer"]
        if layer.get("mark", {}).get("type") == "rule"
    ]
    assert len(rules) == 2
    found = load_split_sweep(sweep.save(tmp_path / "a"))
    np.testing.assert_array_equal(found.blurred, sweep.blurred)


def test_groups_and_paired_shares_by_hand():
    sweep = made(
        ("full", 144, [1, 1, 1, 0, 1, 1]),
        ("downsampling", 36, [1, 0, 0, 0, 1, 0]),
        ("random", 36, [0.5, 0.5, 0, 0, 1, 0.5]),
        ("fastv", 36, [1, 1, 0, 1, 1, 1]),
        picture=[0, 0, 1, 1, 2, 2],
    )
    assert sweep.group("a", 36).tolist() == [False, True, True, False, False, True]
    assert sweep.group("b", 36).tolist() == [True, False, False, False, True, False]
    assert sweep.group("a", 9) is None
    frame = sweep.to_frame().set_index("policy")
    assert frame.loc["fastv", "group_a"] == pytest.approx(2 / 3) and frame.loc["fastv", "n_group_a"] == 3
    assert frame.loc["random", "group_a"] == pytest.approx(1 / 3) and frame.loc["fastv", "group_b"] == 1
    assert frame.loc["downsampling", "group_a"] == 0 and frame.loc["downsampling", "group_b"] == 1
    assert frame.loc["fastv", "right"] == pytest.approx(5 / 6)
    assert frame.loc["fastv", "against_downsampling"] == pytest.approx(3 / 6)
    # a point of each picture is gained: no draw of pictures says anything else
    assert frame.loc["fastv", "against_downsampling_low"] == frame.loc["fastv", "against_downsampling_high"]
    assert frame.loc["fastv", "against_random"] == pytest.approx((5 - 2.5) / 6)
    assert frame.loc["fastv", "against_random_low"] < frame.loc["fastv", "against_random"]
    assert np.isnan(frame.loc["downsampling", "against_downsampling"])
    reading = sweep.to_frame("read").set_index("policy")
    assert reading.loc["fastv", "right"] == 1 and reading.loc["full", "questions"] == 3


def test_the_table_says_who_wins_and_when_nobody_does():
    right = {"downsampling": [1, 0, 0, 0] * 5, "random": [1, 0, 0, 0] * 5, "fastv": [1, 1, 0, 1] * 5}
    sweep = made(
        ("full", 144, [1] * 20),
        *((name, 36, values) for name, values in right.items()),
        *((name, 9, [0, 1] * 10) for name in right),
        picture=[i // 4 for i in range(20)],
    )
    lines = table.summary(sweep).splitlines()
    assert lines[0] == "| method | 36 | 9 |" and lines[2] == "| all tokens | 100.0 | 100.0 |"
    assert "| fastv | **75.0** ▲ @ 1 | 50.0 @ 1 |" in lines
    assert "| downsampling | 25.0 @ 1 | **50.0** @ 1 |" in lines
    first, kinds, second, _ = table.sentences(sweep).splitlines()
    assert "read: fastv" in kinds and "before the language model" in first
    assert "fastv is right most often, better than random (+50.0 (+50.0 to +50.0))" in first
    assert "no different from downsampling (+0.0 (+0.0 to +0.0))" in second
    assert table.winners(sweep, 36, "read")[0] == "fastv"
    assert table.long_table(sweep.to_frame()).count(chr(10)) == 2 + 7


def test_a_method_inside_the_model_has_to_beat_random_tokens_from_its_layer():
    """DART is better than what goes before layer 0 and no better than random tokens that go where its own do."""
    none, some, most = [1, 0, 0, 0] * 5, [1, 1, 0, 0] * 5, [1, 1, 1, 0] * 5
    rows = (("full", 144, [1] * 20), ("random", 16, none), ("downsampling", 16, none))
    sweep = made(
        *rows,
        ("random_inside", 16, some),
        ("dart", 16, some),
        ("fastv", 16, most),
        ("divprune", 16, some),
        picture=[i // 4 for i in range(20)],
    )
    average = np.ones_like(sweep.average)
    average[3:6] = 48
    sweep = replace(sweep, average=average)
    assert [sweep.prunes_inside(i) for i in range(7)] == [False, False, False, True, True, True, False]
    assert split_sentence(sweep).endswith(": fastv at 16 (48 on average over layers), divprune at 16.")
    before, inside, _ = table.sentences(sweep).splitlines()
    assert "divprune is right" in before and "random_inside" not in before
    assert "fastv (48 on average over layers) is right most often" in inside
    assert "better than random_inside (48 on average over layers) (+25.0 (+25.0 to +25.0))" in inside
    frame = sweep.to_frame().set_index("policy")
    assert frame.loc["dart", "against_random_inside"] == 0 and frame.loc["dart", "against_random"] == 0.25


def test_answers_without_the_picture_are_those_of_single_questions(vlm):
    found = horizon_over_scenes(vlm, 8)
    scene = an.scene(0)
    question = scene.questions[2]
    from analysis.visual_tokens.horizon import image_knock_out

    inputs = vlm.prepare(scene.image, question.text).inputs
    curve = image_knock_out(vlm.model, inputs, vlm.answer_ids(question.answer))
    assert np.allclose(found.answer_logp[:, 2], curve["answer_logp"], rtol=EXACT)
    assert np.ptp(curve["answer_logp"]) > 1e-6
    frame = found.to_frame().set_index(["kind", "layer"])
    assert frame.loc[("all", 8), "change"] == 0 and len(frame) == 9 * (1 + len(set(found.kind)))
    change = found.answer_logp[0] - found.answer_logp[-1]
    assert frame.loc[("all", 0), "change"] == pytest.approx(change.mean())
    assert frame.loc[(question.kind, 0), "change"] == pytest.approx(
        change[found.kind == question.kind].mean()
    )
