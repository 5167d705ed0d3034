"""The report of an answer about a picture: its numbers are the answer's, its picture is pixels alone, nothing gets out."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import analysis as an
from analysis.reports import picture
from analysis.reports.answered import answer_report
from analysis.results.trace import Check
from analysis.units import from_nats
from analysis.visual_tokens.findings import attention_finding, sink_patches
from analysis.visual_tokens.looking_figures import PARTS, shares_frame
from tests.patience import PATIENCE
from tests.reading_reports import blocks, hash_of, policy, strip_values
from tests.visual_answers import N_LAYERS, made_answer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "app" / "example.look"


@pytest.fixture(scope="module")
def made():
    a = made_answer()
    return a, answer_report(a).html


def drawn(html):
    """What the piece with the picture is told."""
    [text] = re.findall(r'data-piece="picture" data-options="([^"]*)"', html)
    return json.loads(unescape(text))


def test_every_number_of_the_answer_is_read_back(made):
    a, html = made
    first = blocks(html)["first"]
    np.testing.assert_array_equal(first["tokens.entropy"], a.tokens.entropy)
    np.testing.assert_array_equal(first["tokens.top_ids"], a.tokens.top_ids)
    np.testing.assert_array_equal(strip_values(first["strip.entropy"]), a.tokens.entropy)
    np.testing.assert_array_equal(first["patches.boxes"], a.picture.boxes)
    np.testing.assert_allclose(first["patches.layers"], a.looking.mean, rtol=2**-11, atol=1e-7)
    names = [name for name, _ in drawn(html)["measures"]]
    assert first["patches.numbers"].shape == (len(a.tokens), 1 + N_LAYERS, len(names))
    for token in range(len(a.tokens)):
        np.testing.assert_array_equal(first["patches.mean"][token], a.looking.on_picture(token))
        frame = shares_frame(a, token)
        for row, layer in enumerate((None, *range(N_LAYERS))):
            said = dict(zip(names, first["patches.numbers"][token, row].tolist(), strict=True))
            found = attention_finding(a, token, layer)
            assert np.isclose(said["on the picture"], 100 * found.picture, rtol=1e-5)
            assert np.isclose(said["on the first position"], 100 * found.first, rtol=1e-5)
            assert np.isclose(said["on the text"], 100 * (found.text - found.first), rtol=1e-5)
            assert np.isclose(said["of it on sinks"], 100 * found.sinks, rtol=1e-5)
            assert said["patches with half of it"] == found.n_half
            index = a.looking.mdi_without_first[token]
            assert np.isclose(said["MDI"], np.median(index) if layer is None else index[layer])
            np.testing.assert_array_equal(first["patches.sinks"][row], sink_patches(a, layer))
        [rows] = blocks(html)["more"]["chart.0"]["values"].values()
        for part, name in PARTS.items():
            shares = [r["share"] for r in rows if r["token"] == token and r["part"] == name]
            assert shares == (frame[part].tolist() if part in frame else [])


def test_the_layers_and_the_sinks_are_there(made):
    a, html = made
    [rows] = [rows for rows in blocks(html)["more"]["chart.1"]["values"].values() if "value" in rows[0]]
    values = [row["value"] for row in rows if row["curve"] == "visual tokens"]
    np.testing.assert_allclose(values, a.layers.matrix_entropy_visual)
    table = re.search(r"Visual sinks</h2><table.*?</table>", html).group()
    assert "<td>0</td><td>top left corner</td><td>0, 1, 2, 3</td><td>2, 3, 4</td>" in table
    assert "patch 0" not in html, "which patch gets most is said by the page's script"


def test_what_is_drawn_follows_the_choice(made):
    chart = blocks(made[1])["more"]["chart.0"]
    for theme in ("light", "dark"):
        assert "chosen" in {signal["name"] for signal in chart[theme]["signals"]}
        assert "datum['token'] === chosen" in json.dumps(chart[theme]["data"])
    assert chart["field"] == "token"


def test_the_unit_is_that_of_every_number(made):
    a, _ = made
    page = blocks(answer_report(a, unit="bits").html)
    bits = from_nats(a.tokens.entropy.astype(float), "bits")
    np.testing.assert_allclose(strip_values(page["first"]["strip.entropy"]), bits, rtol=1e-6)
    [rows] = [rows for rows in page["more"]["chart.1"]["values"].values() if "value" in rows[0]]
    values = [row["value"] for row in rows if row["curve"] == "visual tokens"]
    np.testing.assert_allclose(values, from_nats(a.layers.matrix_entropy_visual, "bits"))


def test_the_picture_is_pixels_alone_and_nothing_gets_in_or_out():
    a = made_answer()
    secret, file = PngInfo(), io.BytesIO()
    secret.add_text("Where", "at home")
    before = Image.open(io.BytesIO(a.picture.png))
    before.save(file, "PNG", pnginfo=secret)
    a = replace(
        a,
        picture=replace(a.picture, png=file.getvalue()),
        spec=replace(a.spec, question="</script><script>alert(1)</script>"),
        checks=(Check("<img src=x onerror=alert(1)>", 1.0, 0.5),),
        notes=("<b>note</b>",),
    )
    html = answer_report(a).html
    [source] = re.findall(r'\bsrc="([^"]*)"', html)
    png = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    assert b"at home" in file.getvalue() and b"tEXt" not in png
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), np.asarray(before))
    rules = policy(html)
    [own] = re.findall(r'<script type="module">(.*?)</script>', html, re.S)
    library = blocks(html)["library"]["script"]
    assert rules["default-src"] == ["'none'"] and rules["script-src"] == [hash_of(own), hash_of(library)]
    assert not re.search(r"\beval\(|new Function|fetch\(|import\(|https?:", own)
    assert rules["img-src"] == ["data:"] and "connect-src" not in rules
    assert html.count("<script") == 1 + len(blocks(html)) and html.count("<img") == 1
    assert "<b>note" not in html and "FAILED" in html
    assert not re.search(r"\s(?:on\w+|href)=", html.split("<script")[0].replace("&lt;img src=x onerror=", ""))


def test_a_long_answer_has_the_mean_over_layers_alone(made, monkeypatch):
    a, whole = made
    monkeypatch.setattr(picture, "MOST_WEIGHTS", a.looking.mean.size - 1)
    html = answer_report(a).html
    first = blocks(html)["first"]
    assert "patches.layers" not in first and "The answer is long" in html
    np.testing.assert_array_equal(first["patches.mean"], blocks(whole)["first"]["patches.mean"])
    assert first["patches.numbers"].shape[1] == first["patches.sinks"].shape[0] == 1
    assert ">layer 0</option>" in whole and ">layer 0</option>" not in html


def test_crops_and_the_small_whole_picture_are_drawn_apart():
    a = made_answer()
    crop = np.where(np.arange(len(a.picture)) < 4, 0, 1)
    html = answer_report(replace(a, picture=replace(a.picture, crop=crop))).html
    assert drawn(html)["drawn"] == [list(range(4, 16)), list(range(4))]
    assert html.count("<svg") == 2 and "beside its crops" in html


def test_what_was_not_measured_is_said():
    a = made_answer()
    missing = np.full_like(a.layers.matrix_entropy_visual, np.nan)
    a = replace(
        a,
        layers=replace(a.layers, matrix_entropy_visual=missing),
        unavailable={"matrix entropy": "One visual token has none."},
    )
    html = answer_report(a).html
    assert "One visual token has none." in html and "chart.1" not in blocks(html)["more"]


def test_the_commands_make_it_from_a_file_without_torch(tmp_path):
    script = f"""
import sys, webbrowser
opened = []
webbrowser.open = lambda address: opened.append(address) or True
from analysis.command_line.main import main
assert main(["report", {str(EXAMPLE)!r}, "-o", {str(tmp_path / "a.html")!r}]) == 0
assert main(["view", {str(EXAMPLE)!r}]) == 0
assert opened[0].startswith("file:///") and opened[0].endswith("report.html")
assert not {{"torch", "transformers", "streamlit"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PATH": "", "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "HOME": str(Path.home())},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "a.html").read_text()
    [viewed] = tmp_path.glob("logitscope-*/report.html")
    assert viewed.read_text() == html == an.report(an.load_answer(EXAMPLE)).html
    assert len(html.encode()) <= 3_000_000
