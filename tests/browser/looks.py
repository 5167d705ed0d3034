"""Every page of the app in a browser: open it, wait for its result, and measure where things stand."""

from __future__ import annotations

from typing import Any

from app.navigation import ENTRIES
from tests.browser import harness

WITHOUT_A_RUN = ("papers", "lessons")
"""Pages that have no run bar; they have tests of their own."""
PAGES = tuple(entry.slug for entry in ENTRIES if entry.slug not in WITHOUT_A_RUN)
THEMES = ("light", "dark")
WIDE, SMALL, NARROW = (1400, 900), (1280, 720), (420, 800)


def address_of(slug: str) -> str:
    """Where a page is, below the address of the app."""
    return "" if slug == ENTRIES[0].slug else slug


def settle(page: Any) -> None:
    """Wait until the run on screen is a finished one and nothing is left over from the run before."""
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_selector(".st-key-run_button")
    page.wait_for_selector(".st-key-run_progress", state="detached")
    harness.wait_done(page)
    page.wait_for_function("() => !document.querySelector('[data-stale=true]')")
    page.wait_for_function(HAS_RESULT)
    page.wait_for_function(_CALM)


def finished(page: Any) -> None:
    """Wait until what is computed without being asked for is drawn as well."""
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stProgress]') && !document.body.innerText.includes('being computed')"
    )
    stand_still(page)


def wait_changed(page: Any, part: str, before: str) -> None:
    """Wait until a part of the page reads otherwise.

    After a press this says more than :func:`settle`: where the answer to an earlier step comes late, the page stands
    still between the press and the answer to it.
    """
    page.wait_for_function(
        "([part, before]) => (document.querySelector(part)?.innerText ?? before) !== before",
        arg=[part, before],
    )


_CALM = """() => document.fonts.status === "loaded" && document.getAnimations().every(
  moving => moving.playState !== "running" || moving.effect.getComputedTiming().endTime === Infinity) &&
  [...document.querySelectorAll("style")].some(sheet => sheet.textContent.includes("st-key-run_bar"))"""
"""Fonts and our style sheet are there, which Streamlit fetches on its own, and nothing fades any more."""
_PICTURES = """[...document.querySelectorAll(
  "[data-testid=stMain] :is([class*=st-key-numbers_], [data-testid=stBidiComponentIsolated], " +
  "[data-testid=stVegaLiteChart] :is(svg, canvas), .js-plotly-plot .main-svg)")]
  .map(e => e.getBoundingClientRect()).filter(r => r.height > 30 && r.width > 100)"""
HAS_RESULT = f"() => {_PICTURES}.length > 0"
_TOP = """() => Math.min(...[...document.querySelectorAll(
  "[data-testid=stMain] :is([class*=st-key-card_], [class*=st-key-panel_])")]
  .map(e => e.getBoundingClientRect()).filter(r => r.height > 60 && r.width > 100).map(r => r.top))"""


def top_of_result(page: Any) -> float:
    """Pixels above the frame of the first picture, which begins with its title line."""
    return float(page.evaluate(_TOP))


def places(page: Any) -> dict[str, float]:
    """Pixels above every card, panel, line of numbers and heading, by the key it was drawn with."""
    found: dict[str, float] = page.evaluate("""() => {
      const kept = "[data-testid=stMain] :is(.st-key-run_bar, .st-key-heading, [class*=st-key-numbers_], " +
        "[class*=st-key-card_], [class*=st-key-panel_])", out = {};
      for (const e of document.querySelectorAll(kept)) {
        const key = [...e.classList].find(c => c.startsWith("st-key-"));
        out[key] = e.getBoundingClientRect().top + document.querySelector("[data-testid=stMain]").scrollTop;
      }
      return out;
    }""")
    return found


def stand_still(page: Any) -> None:
    """Wait until the parts of the page have stood where they are for twenty looks at them."""
    page.wait_for_function(
        """() => {
          const parts = document.querySelectorAll("[data-testid=stMain] [class*=st-key-]");
          const now = JSON.stringify([...parts].map(e => Math.round(e.getBoundingClientRect().top)));
          window.looks = now === window.seenLast ? (window.looks ?? 0) + 1 : 0;
          window.seenLast = now;
          return window.looks >= 20;
        }""",
        polling=100,
    )


def faults(page: Any) -> list[str]:
    """What is wider than the window, cut, or over something else; empty where all is well."""
    found: list[str] = page.evaluate("""() => {
      const out = [], say = e => `${e.tagName} "${e.innerText?.trim().slice(0, 30)}"`;
      const box = e => e.getBoundingClientRect(), shown = e => { const r = box(e); return r.width > 1 && r.height > 1; };
      const main = document.querySelector("[data-testid=stMain]");
      for (const e of [document.body, main])
        if (e.scrollWidth > e.clientWidth + 1) out.push(`${e.tagName} is ${e.scrollWidth} wide in ${e.clientWidth}`);
      const bar = document.querySelector(".st-key-run_bar"), b = box(bar);
      const parts = [...bar.querySelectorAll("button, [data-testid=stText], [data-testid=stCaptionContainer]")].filter(shown);
      for (const e of parts) {
        const r = box(e);
        if (r.left < b.left - 1 || r.right > b.right + 1 || r.top < b.top - 1 || r.bottom > b.bottom + 1)
          out.push(`outside the bar: ${say(e)}`);
      }
      const over = (one, two) => { const r = box(one), s = box(two);
        return Math.min(r.right, s.right) - Math.max(r.left, s.left) > 1 && Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top) > 1; };
      const around = [...document.querySelectorAll("[data-testid=stMainMenu], [data-testid=stExpandSidebarButton]")].filter(shown);
      const all = [...parts, ...around];
      all.forEach((one, i) => all.slice(i + 1).forEach(two => {
        if (!one.contains(two) && !two.contains(one) && over(one, two)) out.push(`${say(one)} over ${say(two)}`); }));
      const labels = "[data-testid=stMain] button p, [data-testid=stSidebarNavLink] p, [data-testid=stSidebar] button p";
      for (const e of [...document.querySelectorAll(labels)].filter(shown)) {
        if (e.closest(".st-key-model_choice, [class*=st-key-icons_], [data-collapsed=true]")) continue;
        for (let at = e; at && !["BUTTON", "A"].includes(at.tagName); at = at.parentElement)
          if (getComputedStyle(at).overflow !== "visible" && at.scrollWidth > at.clientWidth + 1) { out.push(`cut: ${say(e)}`); break; }
      }
      return out;
    }""")
    return found
