"""Reports of a comparison, of what was written, and of a sweep: their numbers, and one choice that all pictures share."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analysis as an
from analysis.command_line.main import main
from analysis.units import from_nats
from tests.comparisons import made_comparison, made_spans
from tests.figures.synthetic_sweep import sweep
from tests.figures.synthetic_writing import example_writing
from tests.reading_reports import blocks, strip_values


def last_strip(twin: bytes) -> bytes:
    """The change between two texts, from the payload of all three."""
    a, b = np.frombuffer(twin, "<u4", 2).tolist()
    return twin[8 + a + b :]


def options(html: str, kind: str) -> list[dict[str, Any]]:
    """What the pieces of a kind are told."""
    return [
        json.loads(unescape(text))
        for text in re.findall(rf'data-piece="{kind}" data-options="([^"]*)"', html)
    ]


def test_a_comparison_is_read_back_and_its_choice_is_that_of_both_sides():
    c = made_comparison()
    html = an.report(c).html
    page = blocks(html)
    first = page["first"]
    for side, trace in (("a", c.a), ("b", c.b)):
        np.testing.assert_array_equal(first[f"{side}.entropy"], trace.tokens.entropy)
        np.testing.assert_array_equal(first[f"{side}.top_ids"], trace.tokens.top_ids)
    np.testing.assert_allclose(strip_values(last_strip(first["strip.KL(A‖B)"])), c.rows.kl_ab, rtol=1e-6)
    change = strip_values(last_strip(first["strip.change of surprisal"]))
    np.testing.assert_allclose(change, c.rows.surprisal_change, rtol=1e-5, atol=1e-6)
    assert first["chosen"] == int(np.nanargmax(np.abs(change)))
    value = an.report(c, unit="bits").html
    bits = strip_values(last_strip(blocks(value)["first"]["strip.KL(A‖B)"]))
    np.testing.assert_allclose(bits, from_nats(c.rows.kl_ab, "bits"), rtol=1e-6)
    assert all(page["more"][f"chart.{k}"]["field"] == "position" for k in range(3))


def test_where_one_side_has_nothing_a_choice_names_no_token_of_it():
    c = made_spans()
    html = an.report(c).html
    from analysis.comparison.items import items_of

    items = items_of(c)
    a, b = (option["places"] for option in options(html, "token"))
    for item in range(len(items)):
        assert a[item] == (items.start_a[item] if items.end_a[item] > items.start_a[item] else -1)
        assert b[item] == (items.start_b[item] if items.end_b[item] > items.start_b[item] else -1)
    assert blocks(html)["more"]["chart.0"]["places"] == a


def test_what_was_written_is_read_back(tmp_path):
    w = example_writing()
    w.save(tmp_path / "x.writing")
    assert main(["report", str(tmp_path / "x.writing"), "-o", str(tmp_path / "x.html")]) == 0
    html = (tmp_path / "x.html").read_text()
    assert html == an.report(w).html, "from its file as from the result"
    first, tokens = blocks(html)["first"], w.tokens()
    np.testing.assert_array_equal(first["tokens.surprisal"], tokens.surprisal)
    np.testing.assert_array_equal(strip_values(first["strip.entropy"]), tokens.entropy)
    written = tokens.entropy[len(w.prompt.ids) :]
    assert first["chosen"] == len(w.prompt.ids) + int(np.argmax(written))
    assert all(w.written(b.id) in unescape(html) for b in w.branches)


def test_a_comparison_from_its_file(tmp_path):
    file = Path(__file__).parents[2] / "app" / "example.compare"
    assert main(["report", str(file), "-o", str(tmp_path / "x.html")]) == 0
    c, first = an.load_comparison(file), blocks((tmp_path / "x.html").read_text())["first"]
    np.testing.assert_array_equal(first["b.surprisal"], c.b.tokens.surprisal)


@pytest.mark.parametrize("n_answer", [0, 2])
def test_a_sweep_is_read_back(n_answer):
    s = sweep(n_answer=n_answer)
    html = an.report(s).html
    page = blocks(html)
    strips = [name for name in page["first"] if name.startswith("strip.")]
    assert len(strips) == len(s.settings) - 1
    np.testing.assert_array_equal(strip_values(page["first"][strips[0]])[1:], s.kl[1, 1:])
    assert len(page["more"]) == 3 + bool(n_answer)
    for setting in s.settings:
        assert setting.label in unescape(html)
    rows = [row for rows in page["more"]["chart.0"]["values"].values() for row in rows]
    means = [value for row in rows for value in row.values() if isinstance(value, float)]
    assert np.isclose(means, s.kl[1, 1:].astype(float).mean()).any()


def test_what_cannot_be_seen_in_a_text_is_spelled_out_in_the_settings():
    html = an.report(replace(sweep(), continuation="one \u202etwo\0 three")).html
    assert "\u202e" not in html and "\0" not in html
    assert "one ‹U+202E›two‹U+0000› three" in unescape(html)
