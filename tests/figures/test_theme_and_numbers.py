"""Colours that can be read and compared, and numbers as a person writes them."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.drawing import theme as t
from analysis.drawing.numbers import MINUS, THIN_SPACE, count, duration, estimate, significant, size

PICTURES = ("token_entropy", "attention_sinks", "entropy_collapse", "pruning_effects")
THEMES = ("light", "dark")
each_theme = pytest.mark.parametrize("name", THEMES)


def lightness(ramp):
    return np.array([t._to_oklab(t.rgb_to_hex(c))[0] for c in ramp])


def contrast(a, b):
    high, low = max(a, b), min(a, b)
    return (high + 0.05) / (low + 0.05)


def rgb(colour):
    return np.rint(t._hex_to_rgb(colour) * 255)


def ramps(name):
    yield from (t.amount_ramp(picture, name) for picture in PICTURES)
    yield t.signed_ramp(name)
    yield t.ramp_through(t.theme(name).buckets, t.RAMP_STEPS)


def test_oklab_of_known_colours():
    """White, black and pure red, as in Ottosson's note."""
    np.testing.assert_allclose(t._to_oklab("#ffffff"), [1, 0, 0], atol=1e-4)
    np.testing.assert_allclose(t._to_oklab("#000000"), [0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(t._to_oklab("#ff0000"), [0.62796, 0.22486, 0.12585], atol=1e-4)


def test_oklab_there_and_back():
    colours = ["#000000", "#ffffff", "#e08a00", "#14151a", "#2c6fbb", "#7f7f80"]
    labs = np.stack([t._to_oklab(c) for c in colours])
    assert [t.rgb_to_hex(c) for c in t._from_oklab(labs)] == colours


@each_theme
@pytest.mark.parametrize("picture", PICTURES)
def test_amount_ramps_run_one_way_from_panel_to_colour(name, picture):
    ramp = t.amount_ramp(picture, name)
    assert ramp.shape == (256, 3) and ramp.dtype == np.uint8
    assert t.rgb_to_hex(ramp[0]) == t.theme(name).panel.lower()
    assert t.rgb_to_hex(ramp[-1]) == t.theme(name).pictures[picture].lower()
    steps = np.diff(lightness(ramp)) * (-1 if name == "light" else 1)
    assert steps.min() > -2e-3, "8-bit rounding aside, every step is darker (light) or lighter (dark)"
    assert abs(lightness(ramp)[0] - lightness(ramp)[-1]) > 0.2
    quarters = lightness(ramp[[0, 64, 128, 191, 255]])
    np.testing.assert_allclose(np.diff(quarters), np.diff(quarters).mean(), rtol=0.08)


@each_theme
def test_signed_ramps_are_neutral_in_the_middle(name):
    ramp = t.signed_ramp(name)
    light = lightness(ramp)
    middle = light[127:129].mean()
    away = -1 if name == "light" else 1
    assert (np.diff(light[:128]) * away < 2e-3).all() and (np.diff(light[128:]) * away > -2e-3).all()
    assert abs(middle - light[0]) > 0.2 and abs(middle - light[-1]) > 0.2
    assert ramp[0][2] > ramp[0][0] and ramp[-1][0] > ramp[-1][2], "blue below zero, orange above"


@each_theme
def test_text_can_be_read_on_every_colour(name):
    for ramp in ramps(name):
        white = t.text_on(ramp)
        for colour, is_white in zip(ramp, white, strict=True):
            ground = float(t.relative_luminance(colour))
            assert contrast(ground, 1.0 if is_white else 0.0) >= 4.5


@each_theme
def test_ink_and_muted_can_be_read(name):
    colours = t.theme(name)
    for ground in (colours.panel, colours.ground):
        for ink in (colours.ink, colours.muted):
            ratio = contrast(*(float(t.relative_luminance(rgb(c))) for c in (ink, ground)))
            assert ratio >= 4.5, (ink, ground)


@each_theme
def test_bucket_colours_run_one_way(name):
    steps = np.diff(lightness(t.ramp_through(t.theme(name).buckets, 4)))
    assert (steps < -0.05).all() if name == "light" else (steps > 0.05).all()


def test_luminance_and_contrast_of_known_colours():
    assert float(t.relative_luminance(np.array([255, 255, 255]))) == pytest.approx(1)
    grey = float(t.relative_luminance(np.array([118, 118, 118])))
    assert contrast(grey, 1.0) == pytest.approx(4.54, abs=0.01)


def test_plotly_scale_has_both_ends():
    scale = t.plotly_scale(t.amount_ramp("token_entropy", "light"))
    assert len(scale) == 17 and scale[0] == [0.0, "#ffffff"] and scale[-1] == [1.0, "#e08a00"]
    assert [at for at, _ in scale] == sorted(at for at, _ in scale)


def test_an_unknown_theme_is_the_light_one():
    assert t.theme("__proto__") is t.LIGHT


# Numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 + 0.2, "0.300"),
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1.00"),
        (3.14159, "3.14"),
        (-3.14159, f"{MINUS}3.14"),
        (12.345, "12.3"),
        (99.96, "100"),
        (9.999, "10.0"),
        (999.9, f"1{THIN_SPACE}000"),
        (999.4, "999"),
        (0.9999, "1.00"),
        (0.001, "0.00100"),
        (0.00099999, "0.00100"),
        (1234.5, f"1{THIN_SPACE}234"),
        (1234567.0, f"1{THIN_SPACE}234{THIN_SPACE}567"),
        (-1234567.0, f"{MINUS}1{THIN_SPACE}234{THIN_SPACE}567"),
        (5.85e-4, "0.000585"),
        (-1.5e-5, f"{MINUS}0.0000150"),
        (1e-6, "0.00000100"),
        (1e-7, f"1.00e{MINUS}07"),
        (-1.5e-7, f"{MINUS}1.50e{MINUS}07"),
        (1e9, "1.00e+09"),
        (float("nan"), "not available"),
        (float("inf"), "∞"),
        (float("-inf"), f"{MINUS}∞"),
        (np.float32(2.5), "2.50"),
    ],
)
def test_three_significant_digits(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.303, "+0.303"),
        (-0.303, f"{MINUS}0.303"),
        (0.0, "0"),
        (1e-5, "+0.0000100"),
        (1e-7, f"+1.00e{MINUS}07"),
        (float("inf"), "+∞"),
        (float("nan"), "not available"),
    ],
)
def test_signed_numbers(value, text):
    assert significant(value, signed=True) == text


def test_a_written_number_is_within_half_a_digit():
    for value in np.geomspace(1.1e-6, 9e6, 3000).tolist():
        plain = significant(value).replace(THIN_SPACE, "")
        assert float(plain) == pytest.approx(value, rel=0.005)
        assert len(plain.replace(".", "").lstrip("0")) == 3 or value >= 999.5


def test_counts_sizes_and_times():
    assert (
        count(49152) == f"49{THIN_SPACE}152"
        and count(0) == "0"
        and count(-1234) == f"{MINUS}1{THIN_SPACE}234"
    )
    assert size(538_000_000) == "538 MB" and size(1.5e9) == "1.50 GB" and size(2_000) == "2.00 kB"
    assert duration(0.2) == "under a second" and duration(8.4) == "8 s"
    assert duration(200) == "3 min 20 s" and duration(3600) == "60 min"
    assert estimate(0.2) == "under a second" and estimate(8.4) == "about 8 s"
