"""A comparison with its sides exchanged, and files of comparisons: what was saved opens, what is damaged is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from safetensors.numpy import load

import analysis as an
from analysis.comparison import comparison_file as files
from analysis.comparison.results import VocabularyMatch
from analysis.errors import AnalysisError, BrokenFileError
from analysis.results.file_parts import bytes_of, header_of
from analysis.results.trace import Check
from tests.comparisons import made_comparison, made_spans

TEXT = "the tin in the inn is thin and the hen is in it"


@pytest.fixture(scope="module")
def pair(llama):
    return an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, rounded="4-bit"), top_k=12)


@pytest.fixture(scope="module")
def data(pair):
    return files.comparison_bytes(pair)


def assert_same(one, other, where="comparison"):
    """Equal to the bit, NaN as NaN, whatever is inside."""
    if is_dataclass(one):
        assert type(one) is type(other), where
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, where
        np.testing.assert_array_equal(one, other, err_msg=where)
    else:
        assert one == other or (one != one and other != other), where


def storable(c):
    """The made comparison with runs whose specs know their texts."""

    def run(made):
        sha = hashlib.sha256(made.text.encode()).hexdigest()
        return replace(made, spec=replace(made.spec, text_sha256=sha, top_k=made.tokens.top_ids.shape[1]))

    return replace(c, a=run(c.a), b=run(c.b))


MADE = pytest.mark.parametrize(
    "c", [made_comparison(), made_comparison(n=9, ahead=3), made_spans()], ids=["same", "suffix", "spans"]
)


# Exchanged ---------------------------------------------------------------------------------------------


def test_exchanged_sides_are_those_of_a_comparison_the_other_way(llama, pair):
    """Not computed again, and yet what would be computed."""
    back = an.compare(an.Side(llama, TEXT, rounded="4-bit"), an.Side(llama, TEXT), top_k=12)
    swapped = pair.swapped()
    assert swapped.differs == back.differs == ("round trip: 4-bit and none",)
    for field in fields(back.rows):
        one, other = getattr(swapped.rows, field.name), getattr(back.rows, field.name)
        if one is not None:
            np.testing.assert_allclose(one, other, atol=1e-7, rtol=1e-6, err_msg=field.name)
    np.testing.assert_array_equal(swapped.alignment.pairs, back.alignment.pairs)
    assert [check.name for check in swapped.checks if check.name.startswith("A: ")] == [
        check.name.replace("B: ", "A: ") for check in pair.checks if check.name.startswith("B: ")
    ]


@MADE
def test_twice_exchanged_is_as_before(c):
    checks = tuple(Check(name, 0.0, 0.0) for name in ("A: sums", "B compared with itself", "a sum over A"))
    c = replace(c, seconds={"A": 1.0, "B": 2.0, "comparison": 3.0}, checks=checks)
    c = replace(c, unavailable={"rows": c.vocabulary.why, "structure": "Side A: A reason. Side B: none."})
    assert_same(c.swapped().swapped(), replace(c, differs=c.swapped().swapped().differs))
    assert c.swapped().seconds == {"A": 2.0, "B": 1.0, "comparison": 3.0}
    assert c.swapped().unavailable == {
        "rows": c.swapped().vocabulary.why,
        "structure": "Side B: A reason. Side A: none.",
    }
    assert [check.name for check in c.swapped().checks] == [
        "B: sums",
        "A compared with itself",
        "a sum over A",
    ]


def test_a_vocabulary_is_turned_round():
    c = made_comparison()
    size = c.a.spec.vocab_size
    b_of_a = np.roll(np.arange(size), 3).astype(np.int64)
    b_of_a[5] = -1
    match = VocabularyMatch("extended", "A has 1 more and B 2.", b_of_a, size - 1, 1, 2)
    turned = replace(c, vocabulary=match).swapped().vocabulary
    for a, b in enumerate(b_of_a):
        assert b < 0 or turned.b_of_a[b] == a
    assert (turned.b_of_a == -1).sum() == 1 and (turned.only_a, turned.only_b) == (2, 1)
    assert turned.why == "B has 1 more and A 2."


def test_divergences_change_places():
    c = made_comparison()
    s = c.swapped()
    np.testing.assert_array_equal(s.rows.kl_ab, c.rows.kl_ba)
    np.testing.assert_array_equal(s.rows.jsd, c.rows.jsd)
    np.testing.assert_array_equal(s.rows.surprisal_change, -c.rows.surprisal_change)
    np.testing.assert_array_equal(s.rows.top_a_in_b, c.rows.top_b_in_a)
    np.testing.assert_array_equal(s.rows.rank_of_a_in_b, c.rows.rank_of_b_in_a)
    np.testing.assert_array_equal(s.spans.n_tokens_a, c.spans.n_tokens_b)


# Files -------------------------------------------------------------------------------------------------


def test_what_is_saved_opens_without_a_model(pair, tmp_path):
    found = an.load_comparison(pair.save(tmp_path / "x.compare"))
    assert_same(found, pair)
    assert found.to_frame().equals(pair.to_frame()) and found.structure() is not None


@pytest.mark.parametrize(
    "c", [made_comparison(), made_comparison(ahead=4), made_spans()], ids=["same", "suffix", "spans"]
)
def test_every_kind_is_stored(c, tmp_path):
    c = storable(c)
    assert_same(an.load_comparison(c.save(tmp_path / "x.compare")), c)


def test_a_run_with_itself_is_stored_once(llama):
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT))
    found = files.comparison_from_bytes(files.comparison_bytes(c))
    assert found.a is found.b and found.notes == c.notes


def test_opening_needs_no_torch():
    import subprocess
    import sys

    code = "import analysis.comparison.comparison_file, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_place_that_cannot_be_written_is_said(pair, tmp_path):
    with pytest.raises(AnalysisError, match="cannot be written"):
        pair.save(tmp_path / "no" / "x.compare")


def broken(data, said="damaged or cut short|not a comparison file|written with comparison format"):
    with pytest.raises(BrokenFileError, match=said):
        files.comparison_from_bytes(data, "x.compare")


def changed(data, change):
    """The file with its header or arrays changed by a function of both."""
    header, arrays = header_of(data, files.KEY), load(data)
    change(header, arrays)
    return bytes_of(arrays, {files.KEY: json.dumps(header)})


def test_the_tampering_itself_is_harmless(data, pair):
    assert_same(files.comparison_from_bytes(changed(data, lambda h, a: None)), pair)


@pytest.mark.parametrize("end", [0, 7, 100, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_refused(data, end):
    broken(data[: end if isinstance(end, int) else int(end * len(data))])


def test_other_files_are_refused(pair, tmp_path):
    path = pair.a.save(tmp_path / "a.trace")
    with pytest.raises(BrokenFileError, match="not a comparison file"):
        an.load_comparison(path)
    with pytest.raises(BrokenFileError, match="cannot be opened"):
        an.load_comparison(tmp_path / "none.compare")
    with pytest.raises(BrokenFileError, match="not a trace file"):
        an.load_trace(pair.save(tmp_path / "c.compare"))


@pytest.mark.parametrize("schema", [0, 2, "1", None, True])
def test_another_format_is_refused(data, schema):
    broken(changed(data, lambda h, a: h.update(schema=schema)), "comparison format")


@pytest.mark.parametrize(
    "change",
    [
        lambda h, a: a.pop("rows.kl_ab"),
        lambda h, a: a.pop("b"),
        lambda h, a: a.pop("alignment.pairs"),
        lambda h, a: a.update({"rows.kl_ab": a["rows.kl_ab"][:-1]}),
        lambda h, a: a.update({"rows.kl_ab": a["rows.kl_ab"].astype(np.float64)}),
        lambda h, a: a.update({"rows.kl_ab": a["rows.kl_ab"] - 1}),
        lambda h, a: a.update({"rows.tv": a["rows.tv"] + 2}),
        lambda h, a: a.update({"rows.jsd": a["rows.jsd"] + 1}),
        lambda h, a: a.update({"rows.rank_b": -a["rows.rank_b"]}),
        lambda h, a: a.update({"rows.top_ids_a": a["rows.top_ids_a"] + 10**6}),
        lambda h, a: a.update({"rows.top_logprobs_a": a["rows.top_logprobs_a"][:, :-1]}),
        lambda h, a: a.update({"alignment.pairs": a["alignment.pairs"][::-1].copy()}),
        lambda h, a: a.update({"alignment.pairs": a["alignment.pairs"] + 10**6}),
        lambda h, a: a.update({"alignment.span_a": a["alignment.span_a"] + 10**6}),
        lambda h, a: a.update({"alignment.span_b": a["alignment.span_b"][:-1]}),
        lambda h, a: a.update({"spans.n_bytes": a["spans.n_bytes"][:-1]}),
        lambda h, a: a.update({"a": a["a"][:-100]}),
        lambda h, a: h["alignment"].update(kind="other"),
        lambda h, a: h["vocabulary"].update(kind="other"),
        lambda h, a: h.update(texts=h["texts"][:-1]),
        lambda h, a: h.update(texts=[5] * len(h["texts"])),
        lambda h, a: h.update(differs=None),
        lambda h, a: h.update(checks=[{"name": "x"}]),
        lambda h, a: h.pop("has_rows"),
    ],
)
def test_what_does_not_belong_together_is_refused(data, change):
    broken(changed(data, change), "damaged or cut short")
