"""A report holds the numbers of its result, lets nothing in or out, and stays small."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import analysis as an
from analysis.command_line.main import FAILED, main
from analysis.reports.container import packed
from analysis.reports.run import run_report
from analysis.results.trace import Check, Trace
from analysis.units import from_nats
from tests.figures.synthetic import HOSTILE, run
from tests.figures.synthetic_large import full_size, with_heads
from tests.patience import PATIENCE
from tests.reading_reports import blocks, hash_of, policy, strip_values

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "app" / "example.trace"


@pytest.fixture(scope="module")
def example() -> tuple[Trace, str]:
    trace = an.load_trace(EXAMPLE)
    return trace, an.report(trace).html


def test_every_number_of_the_run_is_read_back(example):
    trace, html = example
    page = blocks(html)
    first, tokens = page["first"], trace.tokens
    for name in ("entropy", "surprisal", "varentropy", "max_prob", "rank"):
        np.testing.assert_array_equal(first[f"tokens.{name}"], getattr(tokens, name))
    np.testing.assert_array_equal(first["tokens.top_ids"], tokens.top_ids)
    np.testing.assert_array_equal(first["tokens.top_logprobs"], tokens.top_logprobs)
    np.testing.assert_array_equal(first["tokens.token_id"], tokens.token_id)
    np.testing.assert_array_equal(strip_values(first["strip.entropy"]), tokens.entropy)
    np.testing.assert_array_equal(strip_values(first["strip.gap"]), tokens.gap)
    np.testing.assert_array_equal(first["lens.ids"], trace.layers.lens_top_ids)
    np.testing.assert_allclose(first["lens.entropy"], trace.layers.lens_entropy, rtol=2**-11, atol=1e-7)
    received = page["more"]["attention.received"]
    np.testing.assert_allclose(received, trace.attention.received, rtol=2**-11, atol=1e-7)
    assert first["chosen"] == int(np.nanargmax(tokens.surprisal))
    [rows] = [rows for rows in page["more"]["chart.0"]["values"].values() if "surprisal" in rows[-1] and len(rows) == len(tokens)][:1]  # fmt: skip
    assert [row["surprisal"] for row in rows[1:]] == tokens.surprisal[1:].astype(float).tolist()


def test_the_unit_is_that_of_every_number():
    trace = run(40)
    first = blocks(run_report(trace, unit="bits").html)["first"]
    bits = from_nats(trace.tokens.entropy.astype(float), "bits")
    np.testing.assert_allclose(first["tokens.entropy"], bits, rtol=1e-6)
    np.testing.assert_allclose(
        first["lens.entropy"], from_nats(trace.layers.lens_entropy, "bits"), rtol=2**-11
    )
    np.testing.assert_allclose(strip_values(first["strip.entropy"]), bits, rtol=1e-6)
    np.testing.assert_array_equal(first["tokens.rank"], trace.tokens.rank)


class Elements(HTMLParser):
    """Elements of a page and the texts outside scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]

    def handle_data(self, data):
        self.texts.append(data)


def test_nothing_gets_in_or_out():
    trace = with_heads(run(40, texts=HOSTILE), 4, 2)
    checks = (Check("</script><script>alert(1)</script>", 1.0, 0.5),)
    trace = replace(trace, checks=checks, notes=("<img src=x onerror=alert(1)>",))
    html = run_report(trace).html
    rules = policy(html)
    [own] = re.findall(r'<script type="module">(.*?)</script>', html, re.S)
    library = blocks(html)["library"]["script"]
    assert rules["default-src"] == ["'none'"] and rules["script-src"] == [hash_of(own), hash_of(library)]
    assert {"connect-src", "frame-src", "font-src", "object-src"}.isdisjoint(rules), (
        "the default holds for them"
    )
    assert "unsafe-eval" not in html and not re.search(r"\beval\(|new Function|fetch\(|import\(|https?:", own)
    assert html.index("Content-Security-Policy") < html.index("<title") < html.index("<script")
    read = Elements()
    read.feed(html)
    assert read.names.count("script") == 1 + len(blocks(html)) and "img" not in read.names
    assert any("onerror" in text for text in read.texts), "as words"
    assert "FAILED" in html


@pytest.mark.parametrize(("n", "most"), [(1000, 3_000_000), (8000, 8_000_000)])
def test_it_stays_small(n, most):
    trace = full_size(n)
    html = run_report(trace).html
    assert len(html.encode()) <= most
    page = blocks(html)
    received = page["more"]["attention.received"]
    assert received.shape == (30, 9, n), "every head is there"
    if received.dtype == np.uint8:
        received = (received / 255.0) ** 2
        assert "256 steps" in html
    # half a step of 1/255 between roots that sum to at most 2
    np.testing.assert_allclose(received, trace.attention.received, atol=1 / 255 + 1e-6)
    drawn = [rows for name in ("chart.0", "chart.1") for rows in page["more"][name]["values"].values()]
    assert max(map(len, drawn)) <= 4000, "what the browser draws does not grow with the text"


def test_beyond_the_longest_the_mean_over_heads_stands_for_them():
    trace = with_heads(run(3000), 30, 32)
    received = blocks(run_report(trace).html)["more"]["attention.received"]
    np.testing.assert_allclose(received[:, 0], trace.attention.received.mean(1), rtol=2**-11)


def test_what_was_not_measured_is_said():
    trace = replace(run(30, lens=None), unavailable={"attention": "The model hides it."})
    html = run_report(trace).html
    assert (
        "The model hides it." in html and 'data-piece="heads"' not in html and 'data-piece="lens"' not in html
    )


def test_a_text_of_one_token_has_a_report():
    html = run_report(run(1, lens=None)).html
    assert 'data-piece="chart"' not in html and "library" not in blocks(html)


def test_both_themes_mark_the_chosen_token(example):
    _, html = example
    for name in ("chart.0", "chart.1"):
        chart = blocks(html)["more"][name]
        for theme in ("light", "dark"):
            assert {"chosen", "pick"} <= {signal["name"] for signal in chart[theme]["signals"]}
            assert "chosen" in json.dumps(chart[theme]["data"])
        assert json.dumps(chart["light"]) != json.dumps(chart["dark"])


def test_a_page_takes_no_numbers_that_its_script_cannot_read():
    with pytest.raises(ValueError, match="float64"):
        packed({"x": np.zeros(3)})
    with pytest.raises(ValueError, match="JSON"):
        packed({"x": float("nan")})
    assert packed({"x": np.zeros(3, "f4")}) == packed({"x": np.zeros(3, "f4")})
    with pytest.raises(TypeError, match="no report of a str"):
        an.report("text")


def test_the_commands_need_neither_torch_nor_streamlit(tmp_path):
    script = f"""
import sys, webbrowser
opened = []
webbrowser.open = lambda address: opened.append(address) or True
from analysis.command_line.main import main
assert main(["report", {str(EXAMPLE)!r}, "-o", {str(tmp_path / "run.html")!r}]) == 0
assert main(["view", {str(EXAMPLE)!r}, "--unit", "bits"]) == 0
assert opened[0].startswith("file:///") and opened[0].endswith("report.html")
assert not {{"torch", "transformers", "streamlit"}} & set(sys.modules)
"""
    env = {"PATH": "", "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "HOME": str(Path.home())}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    [viewed] = tmp_path.glob("logitscope-*/report.html")
    assert done.stdout.splitlines() == [str(tmp_path / "run.html"), str(viewed)]
    nats, bits = (
        blocks(path.read_text())["first"]["tokens.entropy"] for path in (tmp_path / "run.html", viewed)
    )
    np.testing.assert_allclose(bits, nats / np.log(2), rtol=1e-6)


def test_a_file_of_another_kind_is_refused(tmp_path, capsys):
    (tmp_path / "text.trace").write_text("no result")
    assert main(["report", str(tmp_path / "text.trace"), "-o", str(tmp_path / "x.html")]) == FAILED
    assert "is not a file of a result" in capsys.readouterr().err and not (tmp_path / "x.html").exists()
