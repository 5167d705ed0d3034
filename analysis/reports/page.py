"""The file of a report: sections and their numbers, with a policy that lets nothing in or out."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from analysis.drawing.browser import script, style
from analysis.drawing.theme import DARK, FONT, LIGHT, MONO_FONT, Picture, Theme
from analysis.reports.charts import ALONE, Draw, Linked, compiled
from analysis.reports.container import packed
from analysis.reports.library import LICENCE, vega_script
from analysis.results.file_parts import write_file
from analysis.results.tokens import printable

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Report:
    """A result as one HTML file."""

    html: str = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Write the file, completely or not at all, and return its path.

        Raises
        ------
        AnalysisError
            If the place cannot be written.
        """
        return write_file(self.html.encode(), path)


def words(text: object) -> str:
    """Text of a result as text of a page."""
    return escape(printable(str(text)))


@dataclass
class Page:
    """A page while it is put together."""

    title: str
    subtitle: str
    picture: Picture = "token_entropy"
    """Whose colour bars have."""
    chosen: int = -1
    """Token that is chosen when the page opens."""
    first: dict[str, Any] = field(default_factory=dict)
    """Numbers of what is drawn at once."""
    more: dict[str, Any] = field(default_factory=dict)
    """Numbers of what is drawn after the page is on screen."""
    sections: list[str] = field(default_factory=list)
    n_charts: int = 0

    def add(self, title: str, body: str, *, caption: str = "", place: str = "") -> None:
        """Add a section.

        Parameters
        ----------
        title, caption : str
            Plain text.
        body : str
            HTML: whatever came from a result in it has gone through :func:`words`.
        place : str
            Classes: "narrow" and "beside" stand next to each other; "text" and "settings" may break on paper.
        """
        below = f'<p class="quiet">{words(caption)}</p>' if caption else ""
        number = len(self.sections)
        self.sections.append(
            f'<section class="{place}" aria-labelledby="h{number}"><h2 id="h{number}">{words(title)}</h2>{body}{below}</section>'
        )

    def add_chart(
        self, title: str, draw: Draw, *, caption: str, linked: Linked = ALONE, place: str = ""
    ) -> None:
        """Add a section with an Altair chart; arguments as :meth:`add` and :func:`~.charts.compiled`."""
        part = f"chart.{self.n_charts}"
        self.n_charts += 1
        self.more[part] = compiled(draw, linked)
        hosts = "".join(
            f'<div class="in-{name}" role="img" aria-label="{words(f"{title}. {caption}")}"><div class="drawn" aria-hidden="true"></div></div>'
            for name in ("light", "dark")
        )
        self.add(title, piece("chart", {"part": part}, hosts), caption=caption, place=place)

    def report(self) -> Report:
        """The finished page."""
        own = f"{script('strip_view', 'twin_view', 'map_view')}{_read('page.js')}"
        blocks = {"first": self.first | {"chosen": self.chosen}, "more": self.more}
        data = [(name, packed(parts)) for name, parts in blocks.items()]
        allowed = [_hash(own)]
        if self.n_charts:
            data.append(("library", _library()))
            allowed.append(_hash(vega_script()))
        policy = (
            f"default-src 'none'; script-src {' '.join(allowed)}; style-src 'unsafe-inline'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )
        sheet = _variables(self.picture) + style("token_strip", "cell_map") + _read("page.css")
        return Report(
            "<!doctype html>\n"
            f'<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
            f"<title>{words(self.title)}</title><style>{sheet}</style></head>\n<body>"
            f'<header><h1>{words(self.title)}</h1><p class="subtitle">{words(self.subtitle)}</p></header>\n'
            f"<main>{''.join(self.sections)}</main>\n<footer><p>{words(_made_by(self.n_charts))}</p></footer>\n"
            f'<script type="module">{own}</script>\n'
            + "".join(f'<script type="text/plain" id="{name}">{text}</script>\n' for name, text in data)
            + "</body></html>\n"
        )


def piece(kind: str, options: dict[str, Any], inner: str = "") -> str:
    """An element that the page's script fills."""
    said = escape(json.dumps(options, allow_nan=False))
    return f'<div class="{kind}" data-piece="{kind}" data-options="{said}">{inner}</div>'


def table(head: tuple[str, ...], rows: list[tuple[object, ...]], *, caption: str = "", kind: str = "") -> str:
    """A table of plain texts; a first row of empty names is left out."""
    top = f"<caption>{words(caption)}</caption>" if caption else ""
    if any(head):
        top += f"<thead><tr>{''.join(f'<th scope=col>{words(name)}</th>' for name in head)}</tr></thead>"
    body = "".join(f"<tr>{''.join(f'<td>{words(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="{kind}">{top}<tbody>{body}</tbody></table>'


def _variables(picture: Picture) -> str:
    """The themes' colours and fonts under the names that the app's own style sheets use."""

    def block(colours: Theme) -> str:
        named = {
            "--st-text-color": colours.ink,
            "--st-background-color": colours.ground,
            "--st-primary-color": colours.pictures["attention_sinks"],
            "--panel": colours.panel,
            "--muted": colours.muted,
            "--line": colours.line,
            "--accent": colours.pictures[picture],
            "--st-font": FONT,
            "--st-code-font": MONO_FONT,
        }
        return f":root{{{''.join(f'{name}:{value};' for name, value in named.items())}}}"

    return f"{block(LIGHT)}@media screen and (prefers-color-scheme: dark){{{block(DARK)}}}\n"


def _made_by(n_charts: int) -> str:
    try:
        made = f"Made by Logitscope {version('logitscope')}."
    except PackageNotFoundError:
        made = "Made by Logitscope."
    return (
        f"{made} This page is one file and asks for nothing outside. {LICENCE if n_charts else ''}".rstrip()
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@lru_cache(maxsize=1)
def _library() -> str:
    return packed({"script": vega_script()})


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
