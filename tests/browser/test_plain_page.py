"""Strip, two strips and map in a page without Streamlit: each is built, drawn, clicked on and told of another choice."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from analysis.comparison.strips import twin_strip
from analysis.comparison.twin_payload import pack_twin
from analysis.drawing.browser import module, script, style
from analysis.drawing.map_payload import pack_cells
from analysis.drawing.strip_payload import pack
from tests.comparisons import made_comparison
from tests.figures.synthetic import strip_of
from tests.figures.test_clickable_figures import cells_of

pytestmark = pytest.mark.browser
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")

PAGE = """<!doctype html><meta charset=utf-8><style>%s</style><body></body><script>%s
window.start = (View, text) => {
  const place = document.body.appendChild(document.createElement("section"));
  const padded = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const data = new DataView(padded.buffer, 4); // as a notebook hands it over: a view of a part
  window.told = [];
  window.view = mounted(View, place, { data, send: answer => told.push(answer) });
};
window.kinds = { StripView, TwinView, MapView };
</script>"""
PAYLOADS = {
    "StripView": lambda: pack(strip_of(["a", " b", " c", " d", " e"]), revision=3),
    "TwinView": lambda: pack_twin(twin_strip(made_comparison(24), "surprisal_change"), revision=3),
    "MapView": lambda: pack_cells(cells_of(np.ones((3, 4))), revision=3),
}


@pytest.mark.parametrize("view", PAYLOADS)
def test_a_page_that_holds_the_script_mounts_it(view: str, chromium: Any) -> None:
    with harness.page(chromium) as page:
        seen = harness.instrument(page)
        page.set_content(
            PAGE % (style("token_strip", "cell_map"), script("strip_view", "twin_view", "map_view"))
        )
        data = base64.b64encode(b"\0\0\0\0" + PAYLOADS[view]()).decode()
        page.evaluate("([name, data]) => start(kinds[name], data)", [view, data])
        root = page.locator("section > [data-ready]")
        at = root.evaluate("root => root._rect(2)")
        page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
        assert page.evaluate("told") == [[2, 3]] and root.get_attribute("data-selected") == "2"
        page.evaluate("view.update({ selected: 3 })")
        assert root.get_attribute("data-selected") == "3"
        assert root.locator(".ls-live").text_content()
        page.evaluate("view.update({ selected: null })")
        assert root.get_attribute("data-selected") == "-1"
        assert page.evaluate("told") == [[2, 3]], "what comes from outside is not told back"
        page.evaluate("view.close()")
        assert page.locator("section > *").count() == 0
        assert seen.errors == [] and seen.outside == []
        exported = page.evaluate(
            "async text => { const m = await import(URL.createObjectURL(new Blob([text], { type: 'text/javascript' })));"
            " return [typeof m.mount, typeof m.default().render]; }",
            module(view),
        )
        assert exported == ["function", "function"]
