"""The paper shelf: search, filter, download, and every link of it."""

from __future__ import annotations

from collections import defaultdict
from urllib.parse import parse_qsl, urlsplit

import pytest

from analysis.methods import methods
from analysis.papers.citations import papers
from app.navigation import ENTRIES
from app.panels.papers.links import address, href
from app.panels.papers.view import has_words, is_about
from app.widgets.plain import plain
from tests.app.conftest import shown

LINKS: dict[tuple[str, tuple[str, ...]], list[dict[str, str]]] = defaultdict(list)
for _method in methods().values():
    _found = address(_method)
    if _found is not None and _found[1]:
        LINKS[_found[0], tuple(_found[1])].append(_found[1])


def control(at, key):
    """What a control of this key shows, and all that it may show, as words; None if the page has none."""
    for kind in ("selectbox", "multiselect", "button_group", "toggle"):
        for element in at.get(kind):
            if element.key == key and kind == "toggle":
                return [str(element.value).lower()], ["true", "false"]
            if element.key == key:
                options = [str(option) for option in element.options]
                chosen = [element.index] if kind == "selectbox" else element.indices
                return [options[at] for at in chosen], options
    return None


@pytest.mark.parametrize(("page", "keys"), LINKS, ids=lambda v: v if isinstance(v, str) else "+".join(v))
def test_links_open_the_right_page_with_the_right_settings(page, keys, open_page, finish, files):
    """One of each kind is opened; that the others name something that can be chosen is seen on the same page."""
    settings = LINKS[page, keys]
    at = finish(open_page(page, **settings[-1]))
    assert not at.exception and not at.error
    assert at.title[0].value == next(entry.title for entry in ENTRIES if entry.slug == page)
    for key in keys:
        chosen, options = control(at, key)
        assert chosen == [settings[-1][key]]
        assert {other[key] for other in settings} <= set(options)


def test_every_method_has_a_link_where_its_picture_has_a_page():
    pages = {entry.title for entry in ENTRIES}
    for method in methods().values():
        assert (address(method) is not None) == (method.picture in pages)
        to = href(method)
        if to is not None:
            parts = urlsplit(to)
            assert not parts.scheme and not parts.netloc
            assert (parts.path, dict(parse_qsl(parts.query))) == address(method)


def test_the_shelf_is_searched_and_filtered(open_page):
    at = open_page("papers")
    assert not at.exception
    everything = len(papers())
    assert f"{everything} of {everything} entries" in shown(at)
    first = at.markdown[0].value
    assert "Efficient Streaming Language Models with Attention Sinks" in first and "$$" in first
    assert "(attention_sinks?sinks=experiments&experiment=streaming)" in first

    at.text_input(key="words").set_value("zhang heavy 2023")
    at = at.run()
    assert f"1 of {everything} entries" in shown(at)
    assert "No query of the future is counted" in shown(at), "what differs is the code's own word"

    at.text_input(key="words").set_value("")
    at.button_group(key="about").set_value("Write")
    at = at.run()
    n = sum(is_about(paper, "Write") for paper in papers().values())
    assert f"{n} of {everything} entries" in shown(at) and 10 < n < everything
    at.toggle(key="all_papers").set_value(True)
    at = at.run()
    assert not at.exception
    for paper in papers().values():
        assert (plain(paper.title) in "\n".join(m.value for m in at.markdown)) == is_about(paper, "Write")

    at.text_input(key="words").set_value("nothing has these words")
    at = at.run()
    assert not at.exception and f"0 of {everything} entries" in shown(at)


def test_words_are_looked_for_in_names_authors_years_and_methods():
    tip = papers()["tip"]
    assert has_words(tip, "xu 2026 DISTILLATION") and has_words(tip, "student and teacher")
    assert not has_words(tip, "xu 2025") and has_words(tip, "  ")
