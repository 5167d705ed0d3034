"""What a card offers to save: numbers always, files for print while the popover is open."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.patience import PATIENCE


def card():
    import altair as alt
    import pandas as pd
    import streamlit as st

    from app.widgets.card_actions import download_action

    frame = pd.DataFrame({"x": [1.0, 2.0]})
    st.session_state.setdefault("card_download", st.query_params.get("open") == "yes")
    download_action("card", lambda: frame, lambda: alt.Chart(frame).mark_point().encode(x="x:Q"))


def labels(page):
    return [button.proto.label for button in page.get("download_button")]


def test_files_for_print_are_offered_when_somebody_looks_for_them():
    page = AppTest.from_function(card, default_timeout=PATIENCE).run()
    assert not page.exception and labels(page) == ["CSV", "Parquet"]
    page = AppTest.from_function(card, default_timeout=PATIENCE)
    page.query_params["open"] = "yes"
    page.run()
    assert not page.exception and labels(page) == ["CSV", "Parquet", "PDF", "PNG", "SVG"]
    (widths,) = page.get("button_group")
    assert [option.content for option in widths.proto.options] == ["3.3", "5", "6.9"]
