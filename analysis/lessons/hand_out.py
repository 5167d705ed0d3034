"""Hand-outs and notes for teachers, made from the lessons and their stored results: ``python -m analysis.lessons.hand_out``.

For every lesson a page to be filled in (PDF, A4) and the notes (Markdown) with what was measured, so that no number is
written by hand.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from textwrap import wrap

from analysis.drawing.theme import LIGHT
from analysis.lessons.lesson import Lesson, Option
from analysis.lessons.registry import LESSONS
from analysis.lessons.sketches import HEIGHT, WIDTH, sketch_svg

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "lessons"
PAGE = (595, 842)
"""Points of an A4 page."""
_LEFT, _SHOWN = 44, 0.5
_FONT = "Roboto, Inter, 'DejaVu Sans', Arial, sans-serif"


def hand_out_svg(lesson: Lesson) -> str:
    """One page: every question with its predictions to tick, and lines for what was measured and why."""
    measured, out = lesson.stored(), []
    y = 56.0
    out.append(_text(_LEFT, y, lesson.title, 19, bold=True))
    y = _paragraph(out, y + 20, lesson.question, 11, 92, LIGHT.muted) + 8
    room = (PAGE[1] - 40 - y) / len(lesson.steps)
    for number, step in enumerate(lesson.steps):
        top = y + number * room
        out.append(
            f'<line x1="{_LEFT}" x2="{PAGE[0] - _LEFT}" y1="{top:.1f}" y2="{top:.1f}" stroke="{LIGHT.line}"/>'
        )
        below = _paragraph(out, top + 17, f"{number + 1}  {step.question(measured)}", 10.5, 94, LIGHT.ink)
        wide = (PAGE[0] - 2 * _LEFT) / len(step.options)
        for place, option in enumerate(step.options):
            _option(out, _LEFT + place * wide, below + 6, place, option)
        line = top + room - 24
        out.append(_text(_LEFT, line, "Measured: ____________________   Why: " + "_" * 52, 10, LIGHT.muted))
    out.append(_text(PAGE[0] - _LEFT, 30, "Name: ______________________________", 10, end=True))
    foot = f"Logitscope, lesson {list(LESSONS).index(lesson.slug) + 1}. Fold at the lines: a question may name what an earlier step measured."
    out.append(_text(_LEFT, PAGE[1] - 24, foot, 8.5, LIGHT.muted))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{PAGE[0]}" height="{PAGE[1]}" viewBox="0 0 {PAGE[0]} {PAGE[1]}">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(out)}</svg>'
    )


def notes_markdown(lesson: Lesson) -> str:
    """What a teacher wants to know before and after: preparation, questions, and what the lesson's own text shows."""
    measured = lesson.stored()
    about = {
        "text": "the lesson's own text; another one is put in with *Text*",
        "prompt": "the lesson's own beginning; another one is put in with *Text*",
        "seed": "the lesson's own seed; another one is put in with *Seed*",
    }[lesson.needs]
    lines = [
        f"# {lesson.title}",
        "",
        f"{lesson.question} Five to seven minutes; [hand-out]({lesson.slug}.pdf).",
        "",
        lesson.notes,
        "",
        f"Class link: `/lessons?lesson={lesson.slug}&step=1` below the address of the server; the number is the step it opens at.",
        "",
        f"The numbers are those of {about}.",
        "",
        "| Step | Question | Predictions | Measured |",
        "|---|---|---|---|",
    ]
    for number, step in enumerate(lesson.steps):
        found = step.find(measured)
        options = " / ".join(
            f"**{one.label}**" if place == found.option else one.label
            for place, one in enumerate(step.options)
        )
        lines.append(f"| {number + 1} {step.title} | {step.question(measured)} | {options} | {found.value} |")
    lines += ["", "## What happened and why", ""]
    lines += [f"{number + 1}. {step.find(measured).said}" for number, step in enumerate(lesson.steps)]
    return "\n".join(lines) + "\n"


def make() -> None:
    """Write all of them."""
    import vl_convert

    FOLDER.mkdir(exist_ok=True)
    for lesson in LESSONS.values():
        (FOLDER / f"{lesson.slug}.pdf").write_bytes(vl_convert.svg_to_pdf(hand_out_svg(lesson)))
        (FOLDER / f"{lesson.slug}.md").write_text(notes_markdown(lesson), encoding="utf-8")


def _text(
    x: float,
    y: float,
    text: str,
    size: float,
    colour: str = LIGHT.ink,
    *,
    bold: bool = False,
    end: bool = False,
) -> str:
    weight = ' font-weight="700"' if bold else ""
    anchor = ' text-anchor="end"' if end else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-family="{_FONT}" font-size="{size}" fill="{colour}"{weight}{anchor}>{escape(text)}</text>'


def _paragraph(out: list[str], y: float, text: str, size: float, width: int, colour: str) -> float:
    """Put wrapped text on the page; gives the height below it."""
    for line in wrap(text, width):
        out.append(_text(_LEFT, y, line, size, colour))
        y += size * 1.35
    return y


def _option(out: list[str], x: float, y: float, place: int, option: Option) -> None:
    out.append(
        f'<rect x="{x:.1f}" y="{y - 1:.1f}" width="9" height="9" fill="none" stroke="{LIGHT.ink}" rx="1.5"/>'
    )
    out.append(_text(x + 15, y + 7.5, f"{place + 1}  {option.label}", 10.5, bold=True))
    out.append(_text(x + 15, y + 20, option.says, 8, LIGHT.muted))
    if option.sketch:
        inner = sketch_svg(option.sketch).replace("<svg ", f'<svg x="{x + 15:.1f}" y="{y + 26:.1f}" ', 1)
        scaled = f'width="{WIDTH * _SHOWN}" height="{HEIGHT * _SHOWN}"'
        out.append(inner.replace(f'width="{WIDTH}" height="{HEIGHT}"', scaled, 1))


if __name__ == "__main__":
    make()
