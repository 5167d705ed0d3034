"""A press is obeyed once, also where the script run that is told of it ends before it comes to the button."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from tests.patience import PATIENCE


def page():
    import streamlit as st

    from app.widgets.pressed import forget_pressed, pressed

    if st.session_state.pop("cut", False):
        st.rerun()
    for label in st.session_state.get("labels", ("Compare", "Prune")):
        if pressed(label, key=label.lower()):
            st.text(f"{label} was pressed")
    forget_pressed()


@pytest.mark.parametrize("cut", [False, True])
def test_a_press_counts_once_and_for_its_own_button(cut):
    at = AppTest.from_function(page, default_timeout=PATIENCE).run()
    at.session_state["cut"] = cut
    at = at.button(key="prune").click().run()
    assert [text.value for text in at.text] == ["Prune was pressed"]
    assert not at.run().text


def test_a_press_is_forgotten_where_its_button_is_gone():
    at = AppTest.from_function(page, default_timeout=PATIENCE).run()
    at.session_state["labels"] = ("Compare",)
    at = at.button(key="prune").click().run()
    assert not at.text
    at.session_state["labels"] = ("Compare", "Prune")
    assert not at.run().text
