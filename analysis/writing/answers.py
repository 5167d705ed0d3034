"""The answer in a text that a model wrote, in one form, so that equal answers can be counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError
from analysis.results.tokens import printable
from analysis.writing.number_text import last_number, plain, spelled, value_of
from analysis.writing.patterns import last_match

if TYPE_CHECKING:
    import pandas as pd

_SAID = re.compile(r"\banswer\b[*_]*(?:\s+is\b(?!['\u2019])[*_]*\s*:?|\s*[:=])[*_]*", re.IGNORECASE)
_BRACES = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*\{)|\\.|[{}]", re.DOTALL)
_ARTICLES = re.compile(r"^(?:(?:a|an|the) (?=\S))+")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*([^{}]+?)\s*\}\s*\{\s*([^{}]+?)\s*\}")
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}")
_LATEX_SPACE = re.compile(r"\\[,!;: ]|\\left|\\right")
_QUOTES = str.maketrans(
    {**dict.fromkeys("\u2018\u2019\u201a\u02bc`", "'"), **dict.fromkeys("\u201c\u201d\u201e«»", '"')}
)
_AROUND = " \t\r\n\"'$*_"
"""Around an answer these are its dress: spaces, quotes, LaTeX's dollars, and what makes text bold."""


def boxed(text: str) -> str | None:
    r"""What stands in the last complete ``\boxed{...}``, whose inner braces balance; None without one."""
    open_: list[int | None] = []
    complete: dict[int, str] = {}
    for brace in _BRACES.finditer(text):
        if brace["box"]:
            open_.append(brace.end())
        elif brace[0] == "{":
            open_.append(None)
        elif brace[0] == "}" and open_ and (begin := open_.pop()) is not None:
            complete[begin] = text[begin : brace.start()]
    return complete[max(complete)] if complete else None


def after_hashes(text: str) -> str | None:
    """The rest of the line after the last ``####``, as the answers of GSM8K end; None without one."""
    _, mark, rest = text.rpartition("####")
    return rest.lstrip(" ").partition("\n")[0] if mark else None


def said(text: str) -> str | None:
    """The rest of the sentence after the last "answer is" or "answer:"; None without one."""
    found = list(_SAID.finditer(text))
    if not found:
        return None
    rest = text[found[-1].end() :].lstrip().partition("\n")[0]
    return re.split(r"(?<=\S)[.!?](?=\s|$)", rest, maxsplit=1)[0]


def last_line(text: str) -> str | None:
    """The last line that is not empty."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else None


def first_of_all(text: str) -> str | None:
    r"""The first of these that is there: ``\boxed``, ``####``, "answer is", the last number, the last line."""
    return next((a for rule in (boxed, after_hashes, said) if (a := _trimmed(rule(text)))), None) or (
        last_number(plain(text)) or last_line(text)
    )


RULES: dict[str, Callable[[str], str | None]] = {
    "automatic": first_of_all,
    "boxed": boxed,
    "####": after_hashes,
    "answer is": said,
    "number": lambda text: last_number(plain(text)),
    "last line": last_line,
    "whole": lambda text: text,
}
"""Ways to find an answer; anything else that is asked for is a regular expression."""


def extract(text: str, how: str = "automatic") -> str | None:
    """The answer in a text, as it stands there.

    Parameters
    ----------
    text : str
        What the model wrote; without its thinking, see :func:`~.rules.thinking.answer_part`.
    how : str
        A name of :data:`RULES`, or a regular expression: its last match counts, of that the first group if it has one.

    Returns
    -------
    str or None
        None if there is none: no answer.

    Raises
    ------
    AnalysisError
        If the regular expression is none or takes longer than :data:`analysis.writing.patterns.SECONDS`.
    """
    if not how:
        raise AnalysisError(
            "The pattern is empty.", "Type a regular expression, or choose a way to find the answer."
        )
    return _trimmed(RULES[how](text) if how in RULES else last_match(how, text))


def _trimmed(answer: str | None) -> str | None:
    return (answer or "").strip() or None


def normalise(answer: str) -> str:
    """One form for answers that are equal but for how they are written.

    Parameters
    ----------
    answer : str
        From :func:`extract`.

    Returns
    -------
    str
        NFKC, small letters, straight quotes, one space between words; without spaces, quotes, dollars and stars around
        it, final punctuation and a leading article, as long as something is left. A number is written one way,
        exactly (:func:`~.number_text.value_of`): 1/2, .50 and 0.5 are equal, 0.333 and 1/3 are not; "50%" is no 0.5.

    Notes
    -----
    Equal strings, not equal meanings: paraphrases stay apart, so an entropy over such answers tends to exceed that
    over meanings. An exclamation mark after a digit stays: it is a factorial.
    """
    text = _LATEX_SPACE.sub("", _LATEX_TEXT.sub(r"\1", answer))
    text = _LATEX_FRACTION.sub(r"\1/\2", text).replace("\\%", "%")
    text = " ".join(plain(text).casefold().translate(_QUOTES).split())
    text = _undressed(text)
    number = value_of(text)
    return spelled(number[0]) + number[1] if number else text


def _undressed(text: str) -> str:
    """Without what stands around it, layer by layer, as long as something is left."""
    while True:
        inner = text.strip(_AROUND).rstrip(".,;:?")
        calm = inner.rstrip("!")
        inner = (f"{calm}!" if calm != inner and calm[-1:].isdigit() else calm).strip(_AROUND)
        inner = _ARTICLES.sub("", inner, count=1)
        if inner in ("", text):
            return text
        text = inner


@dataclass(frozen=True)
class Group:
    """Samples that gave the same answer."""

    answer: str | None
    """Normalised; None for the samples without an answer."""
    members: tuple[int, ...]
    """Numbers of the samples, rising."""

    def __len__(self) -> int:
        return len(self.members)


def group(answers: Iterable[str | None]) -> list[Group]:
    """Samples by their normalised answer, the largest group first, of equal ones the earliest.

    Samples without an answer are a group of their own, whose answer is None.
    """
    found: dict[str | None, list[int]] = {}
    for number, answer in enumerate(answers):
        found.setdefault(None if answer is None else normalise(answer), []).append(number)
    return sorted((Group(answer, tuple(members)) for answer, members in found.items()), key=lambda g: -len(g))


@dataclass(frozen=True)
class Answers:
    """The answers of N samples of one prompt."""

    how: str
    """The way they were found."""
    extracted: tuple[str | None, ...]
    """As they stand in the texts, (N,); None for no answer."""

    @property
    def groups(self) -> list[Group]:
        """Equal answers together, see :func:`group`."""
        return group(self.extracted)

    @property
    def n_without(self) -> int:
        """Samples without an answer."""
        return sum(answer is None for answer in self.extracted)

    def right(self, right: str | Sequence[str]) -> tuple[bool, ...]:
        """Whether each sample gave the right answer, or one of several right ones; no answer is wrong.

        Raises
        ------
        AnalysisError
            If no right answer is given.
        """
        accepted = {normalise(one) for one in ([right] if isinstance(right, str) else right) if one.strip()}
        if not accepted:
            raise AnalysisError("No right answer was given.", "Type the right answer.")
        return tuple(answer is not None and normalise(answer) in accepted for answer in self.extracted)

    def to_frame(self) -> pd.DataFrame:
        """One row per sample: number, answer as written, normalised, and how many samples gave it."""
        import pandas as pd

        sizes = {number: (g.answer, len(g)) for g in self.groups for number in g.members}
        return pd.DataFrame(
            {
                "sample": range(len(self.extracted)),
                "extracted": [_stored(answer) for answer in self.extracted],
                "answer": [_stored(sizes[n][0]) for n in range(len(self.extracted))],
                "samples_with_it": [sizes[n][1] for n in range(len(self.extracted))],
            }
        )


def _stored(answer: str | None) -> str | None:
    return None if answer is None else printable(answer)


def find_answers(texts: Sequence[str], how: str = "automatic") -> Answers:
    """The answers in several texts.

    Parameters
    ----------
    texts : sequence of str
        One per sample.
    how : str
        As for :func:`extract`.

    Raises
    ------
    AnalysisError
        If there are no texts, or as for :func:`extract`.
    """
    if not texts:
        raise AnalysisError("There are no samples to find answers in.", "Write some samples first.")
    return Answers(how, tuple(extract(text, how) for text in texts))
