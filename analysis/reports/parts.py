"""Sections that reports of several results have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.drawing.strip import Strip
from analysis.drawing.strip_payload import pack
from analysis.reports.page import Page, piece, table, words
from analysis.results.trace import Check


def add_strips(page: Page, title: str, strips: Mapping[str, Strip], *, caption: str = "") -> None:
    """One text in several colours, by the name of each."""
    parts = [f"strip.{name}" for name in strips]
    page.first |= {f"strip.{name}": pack(strip) for name, strip in strips.items()}
    options = "".join(f'<option value="{k}">{words(name)}</option>' for k, name in enumerate(strips))
    chooser = (
        f'<label>Colour by <select autocomplete="off">{options}</select></label>' if len(strips) > 1 else ""
    )
    body = piece("strip", {"colours": parts}, f'{chooser}<div class="canvas"></div>')
    page.add(title, body, caption=caption, place="text")


def add_checks(
    page: Page,
    checks: tuple[Check, ...],
    notes: tuple[str, ...] = (),
    unavailable: dict[str, str] | None = None,
) -> None:
    """What a result checked about itself, what a person should know, and what is missing and why."""
    rows: list[tuple[object, ...]] = [
        (
            "passed" if check.passed else "FAILED",
            check.name,
            f"{check.error:.1e} {check.unit}".strip(),
            f"{check.tolerance:.0e}",
        )
        for check in checks
    ]
    body = table(("", "what should be equal", "largest difference", "allowed"), rows) if rows else ""
    body += "".join(f"<p>{words(note)}</p>" for note in notes)
    body += "".join(
        f"<p>Not measured: {words(what)}. {words(why)}</p>" for what, why in (unavailable or {}).items()
    )
    page.add("Checks", body or "<p>None were made.</p>", place="beside")


def add_spec(page: Page, settings: dict[str, Any]) -> None:
    """Everything that decides the numbers."""
    rows: list[tuple[object, ...]] = [
        (name.replace("_", " "), _said(value))
        for name, value in settings.items()
        if value not in ("", None, ())
    ]
    page.add("Settings", table(("", ""), rows), place="settings")


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
