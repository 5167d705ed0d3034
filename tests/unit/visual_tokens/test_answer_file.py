"""Answers in files, sinks by name, and the collapse layer of pictures: from hand-made answers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

import analysis as an
from analysis.errors import BrokenFileError
from analysis.visual_tokens.answer_file import answer_bytes, answer_from_bytes
from analysis.visual_tokens.collapse_figures import collapse_sentence
from analysis.visual_tokens.results import SeenPicture
from analysis.visual_tokens.sinks import place_in_words
from tests.visual_answers import made_answer


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return a == b


def test_a_file_holds_all_of_an_answer(tmp_path):
    answer = made_answer()
    found = an.load_answer(answer.save(tmp_path / "a.look"))
    for part in ("picture", "prompt", "looking", "layers"):
        for field in fields(getattr(answer, part)):
            values = (getattr(getattr(one, part), field.name) for one in (answer, found))
            assert same(*values), (part, field.name)
    for name in ("text", "spec", "checks", "unavailable", "seconds", "notes"):
        assert getattr(answer, name) == getattr(found, name)
    assert (found.tokens.entropy == answer.tokens.entropy).all() and found.trace.text == " dark red"


def test_a_file_may_lack_single_heads(tmp_path):
    answer = made_answer()
    found = answer_from_bytes(answer_bytes(replace(answer, looking=replace(answer.looking, attention=None))))
    assert found.looking.attention is None
    assert (found.looking.on_picture(1, layer=2) == answer.looking.mean[1, 2]).all()
    with pytest.raises(ValueError, match="were not kept"):
        found.looking.on_picture(1, head=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"picture": replace(made_answer().picture, png=made_answer(seed=1).picture.png)},
        {"picture": replace(made_answer().picture, boxes=np.zeros((15, 4)))},
        {"looking": replace(made_answer().looking, share_first=2 + made_answer().looking.share_first)},
        {"looking": replace(made_answer().looking, mdi=made_answer().looking.mdi[:, :3])},
        {"layers": replace(made_answer().layers, massive=np.zeros((5, 16)))},
        {"prompt": replace(made_answer().prompt, visual=np.arange(16))},
        {"spec": replace(made_answer().spec, n_layers=5)},
        {"trace": made_answer(4).trace, "spec": replace(made_answer().spec, n_written=2)},
    ],
    ids=[
        "another picture",
        "boxes",
        "a share of 2",
        "three layers",
        "kinds of numbers",
        "positions",
        "layers",
        "tokens",
    ],
)
def test_what_does_not_belong_together_is_refused(wrong):
    with pytest.raises(BrokenFileError, match="damaged or cut short"):
        answer_from_bytes(answer_bytes(replace(made_answer(), **wrong)))


def test_other_files_are_refused():
    with pytest.raises(BrokenFileError, match="is not a look file"):
        answer_from_bytes(b"no", "x.look")
    newer = answer_bytes(made_answer()).replace(b'{\\"schema\\": 1', b'{\\"schema\\": 9')
    with pytest.raises(BrokenFileError, match="reads up to 1"):
        answer_from_bytes(newer)


def test_a_file_opens_without_torch(tmp_path):
    path = made_answer().save(tmp_path / "a.look")
    code = f"import sys, analysis as an; a = an.load_answer({str(path)!r}); an.named_sinks(a); assert a.text == 'dark red'"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


def test_sinks_have_names():
    answer = made_answer()
    attended, massive = np.zeros((4, 16), bool), np.zeros((5, 16), bool)
    attended[1:3, 0] = attended[3, 7] = massive[2:, 6] = True
    received = np.full((4, 16), 0.01, np.float32)
    received[:, 0], received[3, 7] = 0.15, 0.03
    answer = replace(
        answer,
        looking=replace(answer.looking, attended=attended, received=received),
        layers=replace(answer.layers, massive=massive),
    )
    found = an.named_sinks(answer)
    assert [(s.token, s.where, s.border) for s in found] == [
        (0, "top left corner", True),
        (7, "right border", True),
        (6, "row 2, column 3", False),
    ]
    assert [(s.by_attention, s.by_state) for s in found] == [((1, 2), ()), ((3,), ()), ((), (2, 3, 4))]
    assert found[0].share == pytest.approx(0.5) and found[1].share == pytest.approx(0.03 / 0.32)


def test_the_border_is_that_of_the_picture_not_of_a_crop():
    """Two crops of 2 x 2 side by side, and the whole picture small: inner edges of crops are no border."""
    row = np.array([0, 0, 1, 1, 0, 0, 1, 1, *np.repeat(np.arange(3), 3)])
    column = np.array([0, 1, 0, 1, 2, 3, 2, 3, *np.tile(np.arange(3), 3)])
    crop = np.array([1] * 4 + [2] * 4 + [0] * 9)
    seen = SeenPicture(b"", 40, 20, np.zeros((17, 4)), row, column, crop)
    assert seen.main.tolist() == [True] * 8 + [False] * 9
    assert [place_in_words(seen, i) for i in (0, 1, 7)] == [
        "top left corner",
        "top border",
        "bottom right corner",
    ]
    assert place_in_words(seen, 12) == "row 2, column 2 of the small whole picture" and not seen.border[12]
    assert seen.border[:8].all() and seen.border[8:].sum() == 8


def test_the_collapse_layer_of_pictures_is_by_the_rule_of_texts():
    answers = [made_answer(seed=i) for i in range(5)]
    found = an.visual_collapse(answers)
    assert found.layer == 2 and found.names[0] == "picture 1" and found.agreeing == 1
    assert found.largest_drop == pytest.approx(1 - 0.4 / 0.85)
    text = an.visual_collapse({f"scene {i}": a.layers for i, a in enumerate(answers)}, "text")
    assert text.layer is None and "under 10 %" in text.reason
    assert an.visual_collapse(answers, "text without first").largest_drop == pytest.approx(
        0.02 / 0.78, rel=0.1
    )
    spread = np.array([0.5, 0.1, 0.1, 0.1, 0.1])
    apart = [
        replace(answers[0].layers, matrix_entropy_visual=np.roll(spread, i)[[0, 1, 2, 3, 4]])
        for i in (0, 0, 3)
    ]
    reason = an.visual_collapse(apart).reason
    assert reason == "only 67 % of the pictures lose most within one layer of 1, under 80 %"


def test_a_picture_that_was_not_measured_is_left_out_and_not_a_picture_without_a_drop():
    """Two pictures lose 0.75 in layer 2; of two nothing was measured, and of one that layer alone was not."""

    def layers(*entropy):
        return replace(made_answer().layers, matrix_entropy_visual=np.array(entropy))

    gone = layers(*[np.nan] * 5)
    some = [layers(4.0, 4.0, 1.0, 1.0, 1.0)] * 2 + [gone] * 2 + [layers(4.0, 2.0, np.nan, 2.0, 2.0)]
    found = an.visual_collapse(some)
    assert (found.layer, found.largest_drop, found.agreeing, found.n_measured) == (2, 0.75, 1.0, 2)
    assert found.median_drop.tolist() == [0.0, 0.75, 0.0, 0.0] and np.isnan(found.drop[2:4]).all()
    assert found.drop[4].tolist()[::3] == [0.5, 0.0] and np.isnan(found.drop[4, 1:3]).all()
    assert found.left_out == " Not measured and left out: 3 of 5 pictures."
    assert an.visual_collapse(some[:2]).left_out == ""
    told = {f"scene {i}": one for i, one in enumerate([*some[:4], layers(4.0, 4.0, 4.0, 1.0, 1.0)])}
    assert collapse_sentence(told) == (
        "Collapse layer 2: the median drop is 75.0 %, and 100 % of 3 pictures lose most within one layer of it. "
        "Not measured and left out: 2 of 5 pictures."
    )
    with pytest.raises(ValueError, match="no spectra of visual tokens were taken"):
        an.visual_collapse([gone] * 3)
