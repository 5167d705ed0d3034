"""Token entropy: Top-H by both rules, locally typical sampling in its order, and where SRGen would stop."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.drawing.strip import MARKED
from analysis.token_entropy import measures
from analysis.token_entropy.orders import top_h_order, typical_order
from analysis.token_entropy.samplers import log_probs_before
from app import state
from app.panels.token_entropy import strip as entropy_strip
from app.widgets import card_actions
from tests.app.test_pages import result, texts, unescaped


@pytest.fixture
def page(open_page, finish):
    return unfolded(finish(open_page("token_entropy")))


def unfolded(at):
    at.session_state[state.SAMPLERS] = True
    return at.run()


def table(at, column):
    return next(frame.value for frame in at.dataframe if column in frame.value)


@pytest.mark.parametrize("query", [{}, {"token": "30"}], ids=["most uncertain", "30"])
def test_the_panel_has_both_rules_of_top_h_and_the_order_of_typical(query, open_page, finish, llama):
    at = unfolded(finish(open_page("token_entropy", **query)))
    log_probs = log_probs_before(llama, result(at), at.session_state[state.TOKEN])
    typical, top_h = typical_order(log_probs, 0.9), top_h_order(log_probs, 0.4)
    panel = table(at, "sampler").set_index("sampler")["keeps"]
    assert panel["top-H 0.4, library"] == top_h.n_library
    assert panel["top-H 0.4, paper"] == top_h.n_paper
    assert panel["typical 0.9"] == typical.n_kept
    assert top_h.n_library != top_h.n_paper, "a token at which the rules part"

    listed = table(at, "|s − H|")
    assert listed["place"].tolist() == typical.place.tolist()
    assert listed["|s − H|"].is_monotonic_increasing
    assert listed["it is"].tolist() == ["kept"] * (len(listed) - 1) + ["cut"]
    assert listed["place"].iloc[-1] == typical.n_kept + 1
    said = texts(at)
    assert f"Place {typical.n_kept + 1} is the first cut" in said
    rules = table(at, "kept by")["kept by"]
    assert rules.isin(["both", "library"]).sum() == top_h.n_library
    assert rules.isin(["both", "paper"]).sum() == top_h.n_paper and rules.iloc[-1] == "none"
    assert f"transformers keeps {top_h.n_library}, whose sum" in said
    assert f"The paper's constraint keeps {top_h.n_paper}, whose entropy" in said


def test_the_orders_follow_the_unit(page):
    nats = table(page, "|s − H|")["|s − H|"].to_numpy()
    at = page.segmented_control(key=state.UNIT).set_value("bits").run()
    np.testing.assert_allclose(table(at, "|s − H|")["|s − H|"], nats / np.log(2))
    assert " bits. Place " in texts(at) and "whose entropy is within" in texts(at)


def test_triggers_are_marked_on_strip_curve_and_table(page, monkeypatch):
    drawn, tables, figures = [], {}, {}
    monkeypatch.setattr(entropy_strip, "token_strip", lambda strip, **_more: drawn.append(strip))
    monkeypatch.setattr(
        card_actions, "download_action", lambda name, make, printed: tables.update({name: make()})
    )
    monkeypatch.setattr(
        card_actions, "figure_action", lambda name, make, _ending: figures.update({name: make()})
    )
    entropy = result(page).tokens.entropy
    assert not measures.triggers(entropy, measures.moving_threshold(entropy)).any()
    assert "No token is above the threshold" in texts(page)

    page.number_input(key=state.TRIGGER_WINDOW).set_value(10.0)
    page.number_input(key=state.TRIGGER_FACTOR).set_value(0.5)
    at = page.segmented_control(key=state.MARK).set_value("SRGen triggers").run()
    assert not at.exception
    above = [
        t
        for t in range(11, len(entropy))
        if entropy[t] > max(entropy[t - 10 : t].mean() + 0.5 * max(entropy[t - 10 : t].std(), 0.5), 1.8)
    ]
    assert 0 < len(above) < len(entropy) / 2
    assert np.flatnonzero(drawn[-1].flags & MARKED).tolist() == above
    assert f"{len(above)} here" in drawn[-1].marked and "SRGen" in drawn[-1].marked
    assert np.flatnonzero(tables["along_text"]["is_trigger"]).tolist() == above
    assert f"Triangles: {len(above)} above the threshold: {above[0]} “" in unescaped(texts(at))
    assert b"SRGen" in figures["token_strip"] and f"({len(above)} here)".encode() in figures["token_strip"]
    at = at.toggle(key=state.THRESHOLD).set_value(False).run()
    assert "Triangles:" not in texts(at)


def test_the_page_says_what_is_not_srgens_and_not_ares(page):
    said = texts(page)
    assert "SRGen watches the tokens that it writes itself at temperature 0.6" in said
    help_of_windows = page.toggle(key=state.SHOW_WINDOWS).help
    assert "ARES looks only at the tokens right after words of a list" in help_of_windows


@pytest.mark.parametrize(
    "query",
    [
        {"mark": "x", "srgen_tokens": "inf", "srgen_deviations": "nan"},
        {"mark": "SRGen triggers", "srgen_tokens": "-5", "srgen_deviations": "1e999"},
        {"mark": "SRGen triggers", "srgen_tokens": "200", "srgen_deviations": "0"},
        {"mark": "<b>", "srgen_tokens": "2.5"},
    ],
    ids=str,
)
def test_odd_links_never_raise(query, open_page, finish):
    at = finish(open_page("token_entropy", **query))
    assert not at.exception and not at.error
    assert 2 <= at.number_input(key=state.TRIGGER_WINDOW).value <= 200
