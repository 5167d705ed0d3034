"""An address that names a card shows it alone; any other word changes nothing."""

from __future__ import annotations

import pytest


def sheets(at) -> str:
    return "\n".join(e.proto.body for e in at.get("html") if "<style>" in e.proto.body)


def test_a_card_is_shown_alone(open_page):
    at = open_page("papers", card="along_the_text")
    assert not at.exception
    assert ".st-key-card_along_the_text" in sheets(at) and "stSidebar" in sheets(at)


@pytest.mark.parametrize("card", ["", "x){}</style><script>", "A", "a" * 61, "a-b", "a b"])
def test_no_other_word_gets_into_the_page(card, open_page):
    at = open_page("papers", card=card)
    assert not at.exception
    assert 'stMainBlockContainer"]:has(.st-key-card_' not in sheets(at)
