"""The page Compare: first visit, both sides run, bad input, swapped, an opened file, and one choice for all pictures."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.comparison.comparison_file import comparison_bytes
from analysis.comparison.results import Comparison
from analysis.comparison.rules.registry import RULES
from analysis.results.trace_file import trace_bytes
from app import state
from app.compute import requests as runs
from app.panels.compare import running
from app.panels.compare.request import KINDS
from tests.app.conftest import shown, text_field
from tests.comparisons import made_spans

TEXT = "the tin in the inn is thin and the thin tin is in the inn"


def compared(at) -> Comparison:
    return at.session_state[state.COMPARISON]


def held(at, key):
    return at.session_state[key] if key in at.session_state else None  # noqa: SIM401 - it has no get


def n_strips(at) -> int:
    return sum("twin_strip" in drawn.proto.component_name for drawn in at.get("bidi_component"))


def press_run(at, text: str | None = TEXT, kind: str = "bos", **options):
    if text is not None:
        text_field(at, state.TEXT).set_value(text)
    at.selectbox(key=state.CHANGE_KIND).set_value(kind)
    at = at.run()
    for key, value in options.items():
        next(w for kind in ("text_area", "selectbox", "slider", "number_input", "text_input")
             for w in at.get(kind) if w.key == key).set_value(value)  # fmt: skip
    at.button(key="run_button").click()
    return at.run()


@pytest.fixture
def page(open_page, finish):
    """The page after a text was read with and without its beginning-of-text token."""
    return finish(press_run(open_page("compare"), b_bos="always"))


# First visit ------------------------------------------------------------------------------------------


def test_a_first_visit_shows_the_stored_example_and_starts_nothing(open_page, submitted, loads):
    at = open_page("compare")
    assert not at.exception and not at.error
    assert at.title[0].value == "Compare" and n_strips(at) == 1
    assert "Example shown" in shown(at)
    assert submitted == [] and loads == []
    c = running.example_comparison()
    assert "library" in c.a.text and "kitchen" in c.b.text and c.rows is not None
    assert all(check.passed for check in c.checks) and c.checks
    metrics = {metric.label: metric.value for metric in at.metric}
    known = c.rows.has_context
    assert (
        metrics["same first choice"]
        == f"{int((c.rows.first_differs[known] == 0).sum())} of {int(known.sum())}"
    )
    assert float(metrics["KL(A‖B)"].split()[0]) == pytest.approx(float(c.rows.kl_ab[known].mean()), rel=0.006)


def test_units_follow_the_sidebar(open_page):
    at = open_page("compare", unit="bits")
    metrics = {metric.label: metric.value for metric in at.metric}
    c = running.example_comparison()
    mean = float(np.nanmean(c.rows.kl_ab)) / np.log(2)
    assert metrics["KL(A‖B)"].endswith(" bits") and float(metrics["KL(A‖B)"].split()[0]) == pytest.approx(
        mean, rel=0.006
    )


@pytest.mark.parametrize("view", ["tokens", "layers", "rules", "summary", "engine"])
def test_every_view_is_drawn_with_the_strips(view, open_page, files):
    at = open_page("compare", compare=view)
    assert not at.exception and not at.error and n_strips(at) == 1
    assert "twin_strip" in files.tables and "twin_strip.html" in files.figures
    for name, code in files.codes.items():
        compile(code, name, "exec")


@pytest.mark.parametrize(
    "query",
    [
        {"b": "evil"},
        {"b": "adapter", "b_strength": "1e999"},
        {"b": "visibility", "b_window": "inf", "b_sinks": "-3"},
        {"b": "eviction", "b_method": "<b>", "b_kept": "NaN"},
        {"b": "rounded", "b_grid": "3-bit"},
        {"b": "precision", "b_precision": "int2"},
        {"b": "model", "b_model": "![](https://evil.example/x.png)"},
        {"b": "file"},
        {"change": "__class__", "along": "x", "along_log": "maybe", "changed_by": "[]"},
        {"compare": "x", "compare_rule": "<script>"},
        {"token": "99999", "swapped": "maybe"},
    ],
    ids=str,
)
def test_odd_parameters_never_raise(query, open_page, submitted):
    at = open_page("compare", **query)
    assert not at.exception and not at.error and submitted == []


def test_an_address_restores_kind_and_options(open_page):
    at = open_page(
        "compare",
        b=KINDS["adapter"].label,
        b_strength="0.75",
        change="Jensen-Shannon divergence",
        token="26",
        swapped="on",
    )
    assert at.selectbox(key=state.CHANGE_KIND).value == "adapter"
    assert at.slider(key=state.CHANGE_STRENGTH).value == 0.75
    assert at.selectbox(key=state.COMPARED_QUANTITY).value == "jsd"
    assert running.example_comparison().b.tokens.text[26] in shown(at)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_has_its_form(kind, open_page, submitted):
    at = open_page("compare", b=KINDS[kind].label)
    assert not at.exception and submitted == []
    assert KINDS[kind].help in shown(at)


# Running ----------------------------------------------------------------------------------------------


def test_what_was_compared_is_drawn_with_its_numbers(page):
    assert not page.exception and not page.error
    c = compared(page)
    assert len(c.b.tokens) == len(c.a.tokens) + 1 and c.alignment.kind == "suffix"
    assert n_strips(page) == 1 and "Example shown" not in shown(page)
    assert f"{len(c.a.tokens)} + {len(c.b.tokens)} tokens" in shown(page)
    assert "What differs" in shown(page) and c.differs


def test_the_same_again_is_not_run_again(page, submitted, finish):
    before = compared(page)
    page.button(key="run_button").click()
    at = finish(page.run())
    assert submitted == [] and compared(at) is before


def test_swapping_recomputes_nothing_and_exchanges_the_numbers(page, submitted):
    before = {metric.label: metric.value for metric in page.metric}
    page.button(key="swap_sides").click()
    at = page.run()
    after = {metric.label: metric.value for metric in at.metric}
    a, b = before["surprisal A → B"].removesuffix(" nats").split(" → ")
    assert after["surprisal A → B"] == f"{b} → {a} nats" and submitted == []
    rows = compared(at).rows
    assert float(after["KL(A‖B)"].split()[0]) == pytest.approx(float(np.nanmean(rows.kl_ba)), rel=0.006)


def test_an_empty_text_says_so_and_keeps_what_is_there(page, finish):
    before = compared(page)
    at = finish(press_run(page, "  "))
    assert not at.exception and len(at.error) == 1 and compared(at) is before


def test_two_texts_without_a_common_stretch_say_what_to_do(open_page, finish):
    at = finish(press_run(open_page("compare"), "aaaa bbbb cccc", "text", b_text_text_1="1 2 3 4 5 6 7 8 9"))
    assert not at.exception and len(at.error) == 1
    assert "common" in at.error[0].value


def test_a_text_too_long_says_so(open_page, finish):
    at = finish(press_run(open_page("compare"), "abc " * 900, b_bos="always"))
    assert not at.exception and len(at.error) == 1


# One choice -------------------------------------------------------------------------------------------


def choose(at, item):
    revision = at.session_state[state.strip_selection("compared_strip")].revision
    at.session_state["compared_strip"] = {"token": [item, revision]}
    return at.run()


def test_a_clicked_item_is_the_token_of_all_pages(page):
    at = choose(page, 6)
    c = compared(at)
    assert at.session_state[state.TOKEN] == 5, "item 0 is the token that only B has"
    assert c.a.tokens.text[5] in shown(at)


def test_a_token_that_only_b_has_is_shown_and_no_other_page_hears_of_it(page):
    before = held(page, state.TOKEN)
    at = choose(page, 0)
    assert "Only one side has this token here" in shown(at)
    assert held(at, state.TOKEN) == before


def test_clicks_in_the_charts_choose_too(page):
    for chart in (state.COMPARE_ALONG, state.COMPARE_BELOW, state.COMPARE_QUADRANTS):
        page.session_state[chart] = {"selection": {"pick": [{"position": 7}]}}
        at = page.run()
        assert at.session_state[state.TOKEN] == 7
        at = choose(at, 3)
        assert at.session_state[state.TOKEN] == 2, "a click counts once"


def test_a_row_of_the_table_chooses_its_token(page):
    page.session_state[state.CHANGED_TABLE] = {"selection": {"rows": [2], "columns": []}}
    at = page.run()
    frame = next(d.value for d in at.dataframe if "Δ" in d.value.columns)
    assert at.session_state[state.TOKEN] == int(frame["at"].iloc[2])


# Files ------------------------------------------------------------------------------------------------


def test_a_saved_comparison_opens_again(page, open_page):
    content = comparison_bytes(compared(page))
    at = open_page("compare")
    field = at.file_uploader(key=state.COMPARE_UPLOAD)
    at = field.set_value([("kept.compare", content, "application/octet-stream")]).run()
    assert not at.exception and not at.error
    np.testing.assert_array_equal(compared(at).rows.kl_ab, compared(page).rows.kl_ab)


def test_a_broken_file_says_so_and_keeps_what_is_there(page):
    before = compared(page)
    field = page.file_uploader(key=state.COMPARE_UPLOAD)
    at = field.set_value([("kept.compare", b"nothing", "application/octet-stream")]).run()
    assert not at.exception and len(at.error) == 1 and compared(at) is before


def test_a_run_of_a_file_is_side_b(page, open_page, finish):
    content = trace_bytes(compared(page).b)
    at = open_page("compare")
    field = at.file_uploader(key=state.SECOND_UPLOAD)
    at = field.set_value([("other.trace", content, "application/octet-stream")]).run()
    assert (
        at.session_state[state.CHANGE_KIND] == "file"
        and at.session_state[state.SECOND_RUN][1] == "other.trace"
    )
    at = finish(press_run(at, TEXT, "file"))
    assert not at.exception and not at.error
    assert compared(at).b.text == compared(page).b.text


def test_cancel_ends_it_and_keeps_what_is_there(open_page, finish, blocked):
    at = press_run(open_page("compare"), b_bos="always")
    next(b for b in at.button if b.label == "Cancel").click()
    at = at.run()
    blocked.set()
    at = finish(at)
    assert not at.exception and not at.error
    assert state.COMPARISON not in at.session_state and n_strips(at) == 1


# Sides of other kinds ---------------------------------------------------------------------------------


def showing(open_page, c, **query):
    """The page with a comparison that was made elsewhere."""
    at = open_page("compare", **query)
    at.session_state[state.COMPARISON] = c
    at.session_state[state.COMPARED_REQUEST] = None
    return at.run()


@pytest.mark.parametrize("view", ["tokens", "layers", "rules", "summary"])
def test_two_vocabularies_have_bits_per_byte_and_no_divergence(view, open_page):
    at = showing(open_page, made_spans(), compare=view, change="KL(A‖B)")
    assert not at.exception and not at.error
    metrics = {metric.label: metric.value for metric in at.metric}
    assert set(metrics) == {"bits per byte", "spans"} and " → " in metrics["bits per byte"]
    assert at.selectbox(key=state.COMPARED_QUANTITY).value == "surprisal_change"
    assert "The vocabularies are different." in shown(at)


def test_a_side_with_itself_says_that_nothing_differs(open_page, finish):
    at = finish(press_run(open_page("compare"), TEXT, "text", b_text_text_1=TEXT))
    assert not at.exception and not at.error
    c = compared(at)
    assert "every difference is exactly 0" in shown(at) and "nothing, both sides are the same" in shown(at)
    assert np.nanmax(np.abs(c.rows.kl_ab)) == 0 == np.nanmax(np.abs(c.rows.surprisal_change))


def test_an_adapter_that_does_not_fit_says_so_and_the_model_stays(open_page, finish, loads):
    at = finish(press_run(open_page("compare"), TEXT, "adapter"))
    assert not at.exception and len(at.error) == 1 and state.COMPARISON not in at.session_state
    assert runs.engine().model_slot.spec == loads[0] and len(loads) == 1


@pytest.mark.parametrize("kind", ["rounded", "untrained", "visibility", "eviction", "before"])
def test_one_model_gives_both_sides(kind, open_page, finish, loads):
    options = {"before": {"b_text_before_0": "an inn. "}, "visibility": {"b_window": 4.0}}.get(kind, {})
    at = finish(press_run(open_page("compare"), TEXT, kind, **options))
    assert not at.exception and not at.error and len(loads) == 1
    c = compared(at)
    assert c.rows is not None and float(np.nanmax(c.rows.kl_ab)) > 0 and len(c.differs) == 1


def test_a_rule_on_whole_distributions_is_measured_when_asked_for(page, finish, submitted):
    name = next(rule.name for rule in RULES.values() if rule.needs == "heads" and not rule.prompts)
    page.segmented_control(key=state.COMPARE_VIEW).set_value("rules")
    at = page.run()
    at.selectbox(key=state.COMPARE_RULE).set_value(name)
    at = at.run()
    assert submitted == [] and not at.exception
    at.button(key="compare_rule_button").click()
    at = finish(at.run())
    assert not at.exception and not at.error and len(submitted) == 1
    assert (
        RULES[name].origin.sides in shown(at)
        and len(at.get("vega_lite_chart")) + len(at.get("arrow_vega_lite_chart")) >= 1
    )


@pytest.mark.parametrize("name", list(RULES))
def test_every_rule_is_drawn_or_says_what_it_needs(name, open_page):
    at = open_page("compare", compare="rules")
    at.selectbox(key=state.COMPARE_RULE).set_value(name)
    at = at.run()
    assert not at.exception and not at.error


def test_the_engine_example_is_measured_with_the_chosen_model(open_page, finish):
    at = open_page("compare", compare="engine")
    at.button(key="measure_rollouts").click()
    at = finish(at.run())
    assert not at.exception
    assert len(at.error) == 1, "the tiny model has fewer ids than the example"
