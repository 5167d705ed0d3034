"""Pictures of what was written: every token, every branch, by hand-made values."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import pandas as pd
import pytest

from analysis.drawing.charts import chart_svg, for_projector, spec_svg
from analysis.token_entropy.measures import forking_tokens
from analysis.writing.compare import branches_frame, written_text
from analysis.writing.figures import (
    entropy_bars,
    entropy_bars_spec,
    entropy_frame,
    written_entropy,
)
from analysis.writing.messages import messages_of
from analysis.writing.prompt_shown import kinds, kinds_frame, prompt_frame, turns
from analysis.writing.results import Message, Prompt, Span
from analysis.writing.strips import HIGHEST, written_strip, written_tokens
from analysis.writing.tree import COLUMNS, tree_of
from analysis.writing.tree_figures import branches
from tests.figures.synthetic import HOSTILE, data_of
from tests.figures.synthetic_writing import branch_of, example_writing, writing_of

TEXTS = ["One animal is a whale.", "One animal is a shark", "One fish is", "The"]


@pytest.fixture
def writing():
    return example_writing()


def own(writing, branch):
    return written_tokens(writing.tokens(branch), len(writing.prompt.ids))


@pytest.mark.parametrize("branch", range(4))
def test_written_tokens_are_those_behind_the_prompt(writing, branch):
    tokens = own(writing, branch)
    np.testing.assert_array_equal(tokens.token_id, writing.path(branch)[2:])
    assert "".join(tokens.cell_text) == TEXTS[branch] == written_text(writing, branch)
    assert tokens.cell[0] == 0 and len(tokens.entropy) == len(tokens.text) == len(tokens)


def test_the_strip_has_the_same_scale_for_all_branches_and_marks_the_most_uncertain_fifth(writing):
    for branch in range(4):
        strip = written_strip(own(writing, branch))
        assert (strip.low, strip.high) == (0.0, HIGHEST)
        marked = (strip.flags & 2) > 0
        np.testing.assert_array_equal(marked, forking_tokens(own(writing, branch).entropy))
    bits = written_strip(own(writing, 0), unit="bits")
    assert bits.high == pytest.approx(HIGHEST / np.log(2)) and bits.values[1] == pytest.approx(
        1.5 / np.log(2)
    )


def test_the_curve_holds_every_token_and_the_mean_of_the_last_eight():
    writing = writing_of(branch_of(0, [2] * 20))
    frame = entropy_frame(own(writing, 0), "nats")
    np.testing.assert_allclose(frame["entropy"], 0.5 + np.arange(20))
    assert frame["running"][:7].isna().all()
    assert frame["running"][7] == pytest.approx(4.0) and frame["running"][19] == pytest.approx(16.0)
    spec = written_entropy(writing, 0, token=3).to_dict()
    np.testing.assert_allclose(data_of(spec, spec["layer"][0])["entropy"], frame["entropy"])
    assert data_of(spec, spec["layer"][2])["token"].tolist() == [3]
    in_bits = entropy_frame(own(writing, 0), "bits")
    np.testing.assert_allclose(in_bits["surprisal"], frame["surprisal"] / np.log(2))


@pytest.mark.parametrize("token", [None, 2])
def test_the_quick_spec_is_that_of_the_chart(writing, token):
    """Datasets by name or in place: the same numbers, marks and scales."""
    for branch, unit in ((0, "nats"), (2, "bits")):
        tokens = own(writing, branch)
        spec = entropy_bars(tokens, unit=unit, theme_name="dark", token=token).to_dict()
        quick = entropy_bars_spec(tokens, unit=unit, theme_name="dark", token=token)
        for layer, other in zip_longest(spec["layer"], quick["layer"]):
            if layer is None:  # the mark of no token
                assert other["data"]["values"] == []
                continue
            assert (layer["mark"], layer["encoding"]) == (other["mark"], other["encoding"])
            pd.testing.assert_frame_equal(data_of(spec, layer), pd.DataFrame(other["data"]["values"]))
        assert spec["config"] == quick["config"] and spec["height"] == quick["height"]
    assert spec_svg(quick).startswith("<svg")


def test_the_projector_mode_enlarges_the_quick_spec_as_the_chart(writing):
    tokens = own(writing, 0)
    chart = for_projector(entropy_bars(tokens), "light").to_dict()
    quick = for_projector(entropy_bars_spec(tokens), "light")
    assert (chart["height"], chart["config"]) == (quick["height"], quick["config"])
    assert quick["height"] > entropy_bars_spec(tokens)["height"]


def test_a_branch_without_tokens_is_drawn(writing):
    empty = writing_of(branch_of(0, []))
    assert chart_svg(written_entropy(empty)).startswith(b"<svg") and chart_svg(branches(empty))
    assert len(written_strip(own(empty, 0)).values) == 0
    assert np.isnan(branches_frame(empty)["mean_entropy_nats"][0])


def test_the_tree_has_a_row_for_every_branch_and_says_how_many_pass(writing):
    tree = tree_of(writing)
    assert [(p.text, p.passing) for p in tree.pieces] == [
        ("One", (0, 1, 2)), (" animal is a", (0, 1)), (" whale.", (0,)), (" shark", (1,)), (" fish is", (2,)),
        ("The", (3,)),
    ]  # fmt: skip
    spec = branches(writing, 1, pick=True).to_dict()
    layers = {layer["mark"]["type"]: layer for layer in spec["layer"]}
    words = data_of(
        spec, next(x for x in spec["layer"] if x["encoding"].get("text", {}).get("field") == "label")
    )
    assert words["label"].tolist() == ["One ×3", "animal is a ×2", "whale.", "shark", "fish is", "The"]
    assert words["chosen"].tolist() == [True, True, False, True, False, False]
    lines = data_of(spec, layers["line"])
    widths = lines.groupby("piece")["width"].first()
    assert widths[0] > widths[1] > widths[2] == widths[5]
    assert widths[0] / widths[1] == pytest.approx((3 / 2) ** 0.5)
    assert lines["column"].max() < COLUMNS
    rows = data_of(spec, layers["rect"])
    assert rows["branch"].tolist() == [0, 1, 2, 3] and rows["row"].tolist() == [0, 1, 2, 3]
    assert rows["name"].tolist() == ["branch 1", "branch 2", "branch 3", "branch 4"]


def test_equal_answers_share_a_row_and_other_words_may_stand_at_the_end(writing):
    twice = writing_of(branch_of(0, [2, 3]), branch_of(1, [2, 3]))
    spec = branches(twice, 0, ends={0: "whale" * 9, 1: "shark"}).to_dict()
    named = data_of(spec, spec["layer"][-1])
    assert len(named) == 1 and named["name"][0].endswith("… +1") and named["all"][0].endswith(", shark")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pictures_can_be_made_as_files(writing, theme):
    for chart in (
        branches(writing, theme_name=theme),
        written_entropy(writing, theme_name=theme, unit="bits"),
    ):
        assert chart_svg(chart).startswith(b"<svg")


def test_hostile_texts_are_letters():
    from dataclasses import replace

    from analysis.writing.results import TokenNames

    ids = list(range(2, 2 + len(HOSTILE)))
    names = dict(zip(ids, HOSTILE, strict=True)) | {0: "", 1: "x", 99: "y"}
    writing = replace(
        writing_of(branch_of(0, ids), branch_of(1, [99])),
        names=TokenNames(names, {i: t.encode("utf-8", "replace") for i, t in names.items()}),
    )
    svg = chart_svg(branches(writing)).decode()
    assert "<script" not in svg and "<img" not in svg and "<b>" not in svg


def test_the_table_says_each_branch_in_the_unit(writing):
    frame = branches_frame(writing, "bits")
    assert frame["branch"].tolist() == [1, 2, 3, 4] and frame["leaves"].tolist() == ["", "1", "1", ""]
    assert frame["text"].tolist() == TEXTS
    assert frame["log_probability_bits"][1] == pytest.approx(-(0.5 + 1.5 + 2.5 + 3.5 + 10) / 2 / np.log(2))
    assert frame["mean_entropy_bits"][2] == pytest.approx((0.5 + 20 + 21) / 3 / np.log(2))


def test_the_prompt_is_shown_by_its_roles():
    messages = tuple(
        Message(role, f"{role} {i}") for i, role in enumerate(["system", *["user", "assistant"] * 3])
    )
    shown = turns(Prompt("", (0, 1), messages))
    assert shown[0] == ("…", "3 earlier turns") and shown[1] == ("you", "user 3") and len(shown) == 5
    assert turns(Prompt("plain", (0,))) == [("text", "plain")]
    prompt = Prompt("x", (5, 6, 7, 8), spans=(Span("template", 0, 1), Span("user", 1, 3)))
    assert kinds(prompt) == ["template", "user", "user", "text"]
    frame = prompt_frame(example_writing())
    assert frame["token"].tolist() == ["<s>", "Say"] and frame["kind"].tolist() == ["text", "text"]


def test_a_summary_is_restricted_to_each_kind():
    from dataclasses import replace

    writing = example_writing()
    prompt = replace(writing.prompt, spans=(Span("user", 1, 2),))
    frame = kinds_frame(replace(writing, prompt=prompt), 1, "bits").set_index("kind")
    assert frame["tokens"].to_dict() == {"user": 1, "written": 5, "answer": 5}
    own_entropy = (0.5 + 1.5 + 2.5 + 3.5 + 10) / 5 / np.log(2)
    assert frame.loc["written", "mean_entropy_bits"] == pytest.approx(own_entropy)
    assert frame.loc["answer", "mean_surprisal_bits"] == pytest.approx(own_entropy / 2)
    assert frame.loc["user", "mean_entropy_bits"] == pytest.approx(
        writing.prompt_tokens.entropy[1] / np.log(2)
    )


def test_messages_end_with_what_was_written(writing):
    assert messages_of(writing, 1) == [
        {"role": "user", "content": "<s>Say"},
        {"role": "assistant", "content": "One animal is a shark"},
    ]
