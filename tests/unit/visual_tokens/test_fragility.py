"""What changed pictures do to pruned models: by constructed answers, and on the shipped model."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL.Image import Image, fromarray

import analysis as an
from analysis.visual_tokens.answering import answer_logp
from analysis.visual_tokens.apply import pruned
from analysis.visual_tokens.fragility_results import FragileCell, Fragility
from analysis.visual_tokens.fragility_table import table
from analysis.visual_tokens.model import load_vision_model
from analysis.visual_tokens.parts import visual_positions
from analysis.visual_tokens.perturbation import Noise
from analysis.visual_tokens.policies import policy
from analysis.visual_tokens.shipped.folder import FOLDER
from analysis.visual_tokens.view import view_before
from tests.tiny_models.vision_model import tiny_vision_model


@dataclass(frozen=True)
class Asked:
    text: str
    answer: str


@dataclass(frozen=True)
class Pictured:
    image: Image
    questions: tuple[Asked, ...]


@dataclass(frozen=True)
class Negative(Noise):
    """The picture's negative as far as the bound goes: a change that is known."""

    name = "negative"

    def change(self, _shown, colours):
        """To the other side of grey."""
        return 255 - 2 * colours


@pytest.fixture(scope="module")
def tiny():
    """A tiny model; any of its words may end an answer, so that it has answers at all."""
    vlm = tiny_vision_model("llava")
    vlm.model.generation_config.eos_token_id = list(range(20, 64))
    return vlm


def said(vlm, image, question, ids, choice=None) -> list[int]:
    """What is likeliest at each place of an answer and behind it, with a choice of tokens or with all."""
    asked = vlm.prepare(image, question)
    places = visual_positions(vlm.model, asked.inputs["input_ids"][0])
    with torch.no_grad(), pruned(vlm.model, choice, places) if choice else nullcontext():
        return answer_logp(vlm.model, asked.inputs, (*ids, 0)).argmax(-1).tolist()


def pictures(vlm) -> list[Pictured]:
    """Two pictures; the answers are what the model says with all tokens, but for one that is wrong."""
    found = []
    for seed in (1, 2):
        image = an.scene(seed).image.resize((32, 32))
        texts = [" ".join(f"w{(7 * i + k) % 30}" for k in range(5)) for i in range(4)]
        words = [vlm.tokenizer.decode([said(vlm, image, text, ())[0]]) for text in texts]
        asked = [Asked(text, word) for text, word in zip(texts, words, strict=True)]
        found.append(Pictured(image, (*asked, Asked(texts[0], "w0" if words[0] != "w0" else "w1"))))
    return found


def test_every_answer_and_every_token_kept_as_by_hand(tiny):
    """The picture and its negative, read and asked one by one."""
    given, method = pictures(tiny), policy("fastv")
    found = an.measure_fragility(tiny, given, ["fastv", "divprune"], [4, 0.5], Negative(255))
    assert [(c.method, c.kept) for c in found.cells] == [
        ("fastv", 4),
        ("fastv", 8),
        ("divprune", 4),
        ("divprune", 8),
    ]
    full, few, again = [], [], []
    for i, one in enumerate(given):
        negative = fromarray(255 - np.asarray(one.image))
        assert (found.changed[i] == np.asarray(negative)).all()
        for question in one.questions:
            (word,) = tiny.answer_ids(question.answer)
            choices = []
            for image in (one.image, negative):
                asked = tiny.prepare(image, question.text)
                choices.append(method.choose(view_before(tiny.model, asked.inputs, asked.boxes), 4))
                for rows, choice in ((full, None), (few, choices[-1])):
                    first, then = said(tiny, image, question.text, [word], choice)
                    rows.append(first == word and (then >= 20 or then in (2, 5)))
            again.append(len(set(choices[0].kept.tolist()) & set(choices[1].kept.tolist())) / 4)
    assert found.picture.tolist() == [0] * 5 + [1] * 5
    assert (found.full_clean.tolist(), found.full_noisy.tolist()) == (full[::2], full[1::2])
    cell = found.cells[0]
    assert (cell.clean.tolist(), cell.noisy.tolist()) == (few[::2], few[1::2])
    assert cell.kept_again.tolist() == pytest.approx(again) and min(again) < 1
    assert any(full[::2]) and full[::2] != full[1::2] and any(few)
    assert not full[8] and not full[18], "the wrong answers"


def test_nothing_changes_where_the_picture_does_not(tiny):
    """All is kept again, and what is right is right again."""

    @dataclass(frozen=True)
    class Nothing(Noise):
        name = "nothing"

        def change(self, _shown, colours):
            return torch.zeros_like(colours)

    found = an.measure_fragility(tiny, pictures(tiny), ["fastv", "visionzip", "random"], [3], Nothing())
    assert [cell.label for cell in found.cells] == [
        "FastV",
        "VisionZip",
        f"{policy('random').label}, one draw",
    ]
    assert (found.full_clean == found.full_noisy).all()
    for cell in found.cells:
        assert (cell.clean == cell.noisy).all() and (cell.kept_again == 1).all()
        assert np.allclose(cell.correlation, 1) and (cell.infiltrated == 0).all()
        assert not found.broken(cell).any()


def made() -> Fragility:
    """Six questions about three pictures, and one method at two numbers of tokens."""
    right = lambda text: np.array([letter == "r" for letter in text])  # noqa: E731
    same = np.full(6, 0.5)
    cell = FragileCell("m", "M", 0.5, 8, right("rrrrww"), right("rwwrww"), same, same, np.zeros(6))
    few = replace(cell, kept=2, clean=right("rrrwww"), noisy=right("wwwwww"))
    gone = FragileCell("n", "N", 8, 0, *[np.zeros(0)] * 5, why="It cannot.")
    return Fragility(
        an.RandomSigns(),
        np.array([0, 0, 1, 1, 2, 2]),
        right("rrrrrw"),
        right("rrrwrw"),
        (cell, few, gone),
        (),
    )


def test_the_table_has_the_four_numbers_of_each_cell():
    found = made()
    table = found.to_frame()
    assert found.broken(found.cells[0]).tolist() == [False, True, True, False, False, False]
    assert table["tokens"].tolist() == [8, 2, 0]
    assert table["survival"].iloc[0] == pytest.approx(4 / 5)
    assert table["error"].tolist()[:2] == pytest.approx([4 / 6, 1])
    assert table["broken"].tolist()[:2] == pytest.approx([2 / 3, 1]) and table["sound"].iloc[0] == 3
    assert table["practical"].tolist()[:2] == [8, 8], "4 of 6 are .8 of 5 of 6; 3 are not"
    assert table["why"].tolist() == ["", "", "It cannot."] and np.isnan(table["error"].iloc[2])
    assert table["error_low"].iloc[0] <= 4 / 6 <= table["error_high"].iloc[0]


def test_what_cannot_run_says_why(tiny):
    found = an.measure_fragility(tiny, pictures(tiny)[:1], ["hired", "downsampling"], [5], an.RandomSigns(1))
    assert "without crops" in found.cells[0].why and "leave 1, 4, 16 tokens" in found.cells[1].why
    assert len(found.full_clean) == 5 and set(found.to_frame()["tokens"]) == {0}
    with pytest.raises(an.AnalysisError, match="no picture with a question"):
        an.measure_fragility(tiny, [], ["random"], [4], an.RandomSigns())


@pytest.mark.skipif(not (FOLDER / "config.json").exists(), reason="the shipped model's folder is not there")
def test_the_shipped_model_under_both_noises():
    """Bounded, reproducible, and steps against attention move more of what the class token ranks than chance."""
    vlm = load_vision_model()
    scenes = [an.scene(11)]
    found = {
        noise.name: an.measure_fragility(vlm, scenes, ["visionzip", "fastv", "random"], [16], noise)
        for noise in (an.RandomSigns(4), an.AgainstAttention(4, steps=8, step=1.0))
    }
    n = sum(len(scene.questions) for scene in scenes)
    for one in found.values():
        assert len(one.full_clean) == len(one.full_noisy) == n
        assert (one.full_clean == found["random"].full_clean).all()
        for scene, picture in zip(scenes, one.changed, strict=True):
            assert np.abs(picture.astype(int) - scene.pixels).max() == 4
        assert (one.cells[2].kept_again == 1).all(), "random tokens do not depend on the picture"
        assert all(len(cell.clean) == n and not cell.why for cell in one.cells)
        assert one.to_frame()["survival"].nunique() == 1
    chance, steps = (found[name].cells[0] for name in ("random", "attention"))
    assert steps.kept_again.mean() < chance.kept_again.mean()
    assert steps.correlation.mean() < chance.correlation.mean()


def test_the_written_table_says_the_same():
    lines = table(made())
    assert len(lines) == 3 and {line.count("|") for line in lines} == {10}
    assert lines[0].startswith("| random | m | 8 | 66.7 | 33.3 | 66.7 | 66.7 | 66.7 (")
    assert "3 questions) | 50.0 |" in lines[0] and "| n | 0 | It cannot. |" in lines[2]
