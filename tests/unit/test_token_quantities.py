"""A quantity that is declared is everywhere: run, file, strip, legend, table, CSV, help, buttons."""

from __future__ import annotations

import csv
import importlib
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import analysis as an
from analysis.command_line.main import main
from analysis.errors import AnalysisError, BrokenFileError
from analysis.forward import run as forward_run
from analysis.forward import vocabulary_head
from analysis.results import trace_file
from analysis.results.token_quantities import TOKEN_QUANTITIES, TokenQuantity, quantities_of
from analysis.results.tokens import TokenTrace
from analysis.token_entropy.strips import entropy_strip
from tests.figures.synthetic import run as made_up

TODAY = Path(__file__).parents[1] / "golden" / "schema_2.trace"
"""Written before quantities were declared in one place: a tiny gpt_oss, lens and spectra of its states."""
MARGIN = TokenQuantity(
    "margin",
    "margin",
    "Lead of the first choice",
    "Stronger colour: the second choice was far behind.",
    "how far the second choice was behind.",
    r"$\ln p_1 - \ln p_2$",
    stored=np.float32,
    since=trace_file.SCHEMA_VERSION + 1,
    column=7,
)
"""What nobody measures: declared for the tests."""


@dataclass(frozen=True)
class MoreTokens(TokenTrace):
    """With a field for it, as a later version would have."""

    margin: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class MoreRows(vocabulary_head.Rows):
    """With an entry for it."""

    margin: np.ndarray


@pytest.fixture
def declared(monkeypatch):
    monkeypatch.setitem(TOKEN_QUANTITIES, "margin", MARGIN)
    monkeypatch.setitem(trace_file._PARTS, "tokens", MoreTokens)


@pytest.fixture
def measured(declared, monkeypatch, llama):
    """A run of a later version whose vocabulary head measures it."""
    read_rows = vocabulary_head.read_rows

    def with_margin(*arguments):
        rows = read_rows(*arguments)
        rows.margin[:] = rows.top_logprobs[:, 0] - rows.top_logprobs[:, 1]
        return rows

    monkeypatch.setattr(vocabulary_head, "Rows", MoreRows)
    monkeypatch.setattr(forward_run, "read_rows", with_margin)
    monkeypatch.setattr(forward_run, "TokenTrace", MoreTokens)
    return an.trace(llama, "The cat sat on the mat, and then it left.")


def test_a_run_measures_it_and_shifts_it_to_its_token(measured):
    tokens = measured.tokens
    lead = tokens.top_logprobs[:, 0] - tokens.top_logprobs[:, 1]
    assert tokens.margin.dtype == np.float32 and math.isnan(tokens.margin[0]) and (lead[1:] > 0).all()
    np.testing.assert_array_equal(tokens.margin, lead)


def test_a_file_holds_it(measured, tmp_path):
    opened = an.load_trace(measured.save(tmp_path / "run.trace"))
    np.testing.assert_array_equal(opened.tokens.margin, measured.tokens.margin)
    wrong = replace(measured, tokens=replace(measured.tokens, margin=measured.tokens.margin[1:]))
    with pytest.raises(BrokenFileError):
        an.load_trace(wrong.save(tmp_path / "wrong.trace"))


def test_a_file_of_today_opens_without_it_and_says_so(declared):
    opened = an.load_trace(TODAY)
    assert isinstance(opened.tokens, MoreTokens) and opened.tokens.margin is None
    assert "margin" not in quantities_of(opened.tokens) and "entropy" in quantities_of(opened.tokens)
    assert not [column for column in opened.tokens.to_frame() if "margin" in column]
    with pytest.raises(AnalysisError, match="no margin"):
        entropy_strip(opened.tokens, "margin", vocab_size=opened.spec.vocab_size)


def test_a_file_of_today_opens():
    opened = an.load_trace(TODAY)
    assert quantities_of(opened.tokens) == TOKEN_QUANTITIES
    tokens = opened.tokens
    assert tokens.surprisal[1:].sum() == pytest.approx(203.189224, abs=1e-4)
    assert tokens.varentropy[5] == pytest.approx(3.41249132)
    assert tokens.max_prob[7] == pytest.approx(0.3439115) and tokens.rank[3] == 93
    assert opened.layers.lens_layers.tolist() == [0, 2, 4] and opened.layers.spectrum is not None


def test_a_later_version_raises_the_number_of_the_format(declared, monkeypatch):
    before = trace_file.SCHEMA_VERSION
    try:
        assert before + 1 == importlib.reload(trace_file).SCHEMA_VERSION
    finally:
        monkeypatch.undo()
        assert before == importlib.reload(trace_file).SCHEMA_VERSION


@pytest.mark.parametrize(("unit", "scale"), [("nats", 1.0), ("bits", 1 / math.log(2))])
def test_strip_legend_and_table_show_it(measured, unit, scale):
    tokens = measured.tokens
    strip = entropy_strip(tokens, "margin", unit=unit, vocab_size=measured.spec.vocab_size)
    np.testing.assert_allclose(strip.values, tokens.margin * scale, rtol=1e-6)
    assert (strip.title, strip.unit, strip.low) == (MARGIN.title, unit, 0.0)
    html = an.figures.token_strip(measured, "margin", unit=unit).html
    legend = re.search(r'<div class="l">.*?</div>', html)
    assert legend and MARGIN.title in legend[0] and f" {unit}</span>" in legend[0]
    frame = tokens.to_frame(unit)
    assert list(frame)[-3:] == ["rank", f"margin_{unit}", "first_choice"]
    np.testing.assert_allclose(frame[f"margin_{unit}"], tokens.margin.astype(float) * scale, rtol=1e-12)


def test_the_csv_of_the_command_line_has_it(measured, tmp_path):
    file, table = measured.save(tmp_path / "run.trace"), tmp_path / "tokens.csv"
    assert main(["csv", str(file), "-o", str(table), "--unit", "bits"]) == 0
    with table.open(newline="", encoding="utf-8") as lines:
        values = [row["margin_bits"] for row in csv.DictReader(lines)]
    assert values[0] == ""
    np.testing.assert_allclose(
        [float(value) for value in values[1:]], measured.tokens.margin[1:].astype(float) / math.log(2)
    )


def test_the_help_of_the_strip_explains_it(declared, monkeypatch):
    from app.panels.token_entropy import help as readings

    line = r"- **Margin** $\ln p_1 - \ln p_2$: how far the second choice was behind."
    try:
        assert line in importlib.reload(readings).STRIP.splitlines()
    finally:
        monkeypatch.undo()
        assert line not in importlib.reload(readings).STRIP


# Those there are --------------------------------------------------------------------------------------


def test_the_help_is_what_it_was():
    from app.panels.token_entropy.help import STRIP

    lines = STRIP.splitlines()
    assert (
        r"- **Varentropy** $\sum p\,(\ln p + H)^2$: high when a few likely ways stand beside many unlikely ones."
        in lines
    )
    assert "- **Gap** $= $ surprisal $- H$: unexpected, given how uncertain the model was." in lines
    assert "- **Rank**: 1 for the model's first choice." in lines


@pytest.mark.parametrize(
    ("unit", "columns"),
    [
        ("nats", ["surprisal_nats", "entropy_nats", "varentropy_nats2", "gap_nats", "max_prob", "rank"]),
        ("bits", ["surprisal_bits", "entropy_bits", "varentropy_bits2", "gap_bits", "max_prob", "rank"]),
    ],
)
def test_columns_keep_their_names_and_order(unit, columns):
    frame = made_up().tokens.to_frame(unit)
    assert list(frame)[7:-1] == columns
    assert frame["rank"].dtype == np.int32 and frame["max_prob"].dtype == np.float64


def test_buttons_and_addresses_keep_their_names_and_order():
    labels = {name: quantity.label for name, quantity in quantities_of(made_up().tokens).items()}
    assert list(labels) == ["entropy", "surprisal", "gap", "varentropy", "rank", "gltr", "max_prob"]
    assert labels["gltr"] == "rank classes" and labels["max_prob"] == "top-1 probability"


def test_ends_of_the_colours():
    tokens = made_up().tokens
    ends = {
        name: (s.low, s.high)
        for name in TOKEN_QUANTITIES
        if (s := entropy_strip(tokens, name, vocab_size=1000))
    }
    assert ends["max_prob"] == (0, 1) and ends["rank"] == (0, 3) and ends["gltr"] == (0, 3)
    assert ends["gap"][0] == -ends["gap"][1] < 0
    assert ends["entropy"] == (0, math.ceil(np.percentile(tokens.entropy[1:], 99)))


def test_what_is_drawn_of_a_rank_says_the_rank_itself():
    tokens = made_up().tokens
    for name in ("rank", "gltr"):
        strip = entropy_strip(tokens, name, vocab_size=1000)
        assert strip.details[0] == "" and strip.details[5] == f"rank {tokens.rank[5]}"
    assert entropy_strip(tokens, "entropy", vocab_size=1000).details == ()
    np.testing.assert_allclose(
        entropy_strip(tokens, "rank", vocab_size=1000).values[1:], np.log10(tokens.rank[1:]), rtol=1e-6
    )
