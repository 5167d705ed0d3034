"""The token strip as HTML: complete, escaped, fast, and without outside references."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.drawing.strip import MARKED, SPAN, SPECIAL
from analysis.drawing.strip_html import HtmlFigure, strip_html
from analysis.drawing.theme import DARK, LIGHT, relative_luminance
from tests.counting import calls
from tests.figures.synthetic import strip_of

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "![](https://evil.example/x.png)",
    "</script><script>",
    '"><b a="',
    "</style>",
]


class Reader(HTMLParser):
    """Collects tags, attributes and the text outside of the style block."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.spans: list[dict[str, str | None]] = []
        self.text = ""
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "span" and "title" in dict(attrs):
            self.spans.append(dict(attrs))
        if tag not in ("br", "wbr", "meta"):
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.inside:
            self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.inside == []
    return reader


def test_every_token_has_its_exact_value_and_text() -> None:
    strip = strip_of(["Hello", " world", "\n"], details=("", "rank 4", ""))
    found = read(strip_html(strip))
    assert len(found.spans) == 3
    assert found.spans[1]["title"] == 'Token 1 " world" 3.50000 nats\nrank 4'
    assert "Hello·world↵" in found.text
    assert found.tags.count("br") == 1


def test_hostile_texts_stay_text() -> None:
    found = read(strip_html(strip_of(HOSTILE, title=HOSTILE[0], missing=HOSTILE[2]), caption=HOSTILE[4]))
    assert set(found.tags) <= {"div", "style", "span", "b", "u", "i", "br", "wbr"}
    assert HOSTILE[3].replace(" ", "·") in found.text
    assert not any(key in span for span in found.spans for key in ("onerror", "src", "a", "href"))


def test_nothing_outside_is_referenced() -> None:
    html = strip_html(strip_of(["plain", " words"]))
    assert not re.search(r"https?:|//|url\(|@import|<script|src=|href=", html)


def test_pieces_of_one_character_are_bands_of_one_cell() -> None:
    values = np.array([0, 7, 0, 3], "f4")
    found = read(strip_html(strip_of(["語", "x"], [0, 0, 0, 1], values=values)))
    assert len(found.spans) == 2
    style = found.spans[0]["style"] or ""
    assert "#ffffff 0.00%" in style and LIGHT.pictures["token_entropy"].lower() in style
    assert (found.spans[0]["title"] or "").count("Token") == 3
    assert "style" not in found.spans[1]


def test_flags_and_missing_values_have_their_own_signs_and_legend() -> None:
    flags = np.array([SPECIAL, MARKED, SPAN, 0], "u1")
    values = np.array([np.nan, 1, 2, 3], "f4")
    found = read(strip_html(strip_of(list("abcd"), flags=flags, values=values, marked="fork", span="window")))
    classes = [set((span["class"] or "").split()) for span in found.spans]
    assert classes[0] == {"h", "s"}
    assert "m" in classes[1] and "w" in classes[2]
    assert len(classes[3]) == 1
    for word in ("no context", "fork", "window", "special token"):
        assert word in found.text
    assert "no context" not in read(strip_html(strip_of(["a"]))).text


def test_buckets_are_named_instead_of_a_scale() -> None:
    strip = strip_of(["a", "b"], values=np.array([0, 2], "f4"), buckets=("first", "top 10", "beyond"))
    html = strip_html(strip)
    assert "beyond" in read(html).text and "nats" not in read(html).text
    assert "v255{background:#e08a00" in html
    assert (read(html).spans[1]["title"] or "").endswith("beyond")


def test_unseen_characters_are_spelled_out() -> None:
    found = read(strip_html(strip_of(["a\u200bb\u202e\x00\r\t\ud800", "", "\u0301"])))
    for sign in ("‹U+200B›", "‹U+202E›", "‹U+0000›", "\\r", "→", "∅", "◌"):
        assert sign in found.text
    assert not re.search("[\u200b\u202e\x00]", strip_html(strip_of(["a\u200bb\u202e\x00"])))


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=lambda c: c.name)
def test_text_keeps_its_contrast_on_every_colour(colours: Any) -> None:
    values = np.linspace(0, 7, 256, dtype="f4")
    html = strip_html(strip_of(["x"] * 256, values=values), theme_name=colours.name)
    pairs = re.findall(r"\.v\d+\{background:#(\w{6});color:#(\w{3,6})\}", html)
    assert len(pairs) == 256

    def light(code: str) -> float:
        code = code if len(code) == 6 else "".join(c * 2 for c in code)
        return float(relative_luminance(np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)])))

    for ground, ink in pairs:
        high, low = sorted((light(ground), light(ink)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_legend_numbers() -> None:
    text = read(strip_html(strip_of(["a"], low=-1234.5, high=1234.5, unit="bits"))).text
    assert "−1\u2009230" in text and "+1\u2009230 bits" in text


def test_32k_tokens_are_drawn_with_a_few_calls_each() -> None:
    rng = np.random.default_rng(0)
    texts = [f" w{k}" for k in rng.integers(0, 9000, 32_768)]
    strip = strip_of(texts, values=rng.uniform(0, 7, 32_768).astype("f4"))
    assert strip_html(strip).count("title=") == 32_768
    assert calls(lambda: strip_html(strip)) < 50 * 32_768


def test_figure_shows_itself_and_saves_a_whole_document(tmp_path: Path) -> None:
    figure = HtmlFigure(strip_html(strip_of(["語 <b>"]), theme_name="dark"))
    assert figure._repr_html_() == figure.html
    saved = figure.save(tmp_path / "strip.html", title="a <b>").read_text(encoding="utf-8")
    assert saved.startswith("<!doctype html>") and '<meta charset="utf-8">' in saved
    assert "<title>a &lt;b&gt;</title>" in saved and figure.html in saved


def test_same_strip_same_html_and_empty_text() -> None:
    assert strip_html(strip_of(["a", "b"])) == strip_html(strip_of(["a", "b"]))
    assert "No tokens" in strip_html(strip_of([]))


def test_needs_no_heavy_import() -> None:
    code = (
        "import sys, analysis.drawing.strip_html;"
        "print(sorted({'torch', 'transformers', 'streamlit', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout.strip() == "[]"
