"""Regular expressions that a person types: searched with a limit of time, so that none can stop the app."""

from __future__ import annotations

import regex

from analysis.errors import AnalysisError

SECONDS = 1.0
"""Time that a pattern gets for one text. Python's own ``re`` cannot be stopped once it began."""
_LONGEST = 500
"""Characters of a pattern: compiling one knows no limit of time."""


def last_match(pattern: str, text: str, seconds: float = SECONDS) -> str | None:
    """What a pattern matches last in a text, blanks aside.

    Parameters
    ----------
    pattern : str
        As Python's ``re`` knows them; case counts, ``^`` and ``$`` are ends of lines.
    text : str
        Where to search.
    seconds : float
        Time allowed.

    Returns
    -------
    str or None
        Of a pattern with groups the first group that took part, else the whole match; None without a match.

    Raises
    ------
    AnalysisError
        If the pattern is none, or takes longer.
    """
    if len(pattern) > _LONGEST:
        raise AnalysisError(
            f"The pattern has {len(pattern):,} characters, and {_LONGEST} are read.",
            "Type a shorter pattern.",
        )
    try:
        compiled = regex.compile(pattern, regex.MULTILINE)
    except (regex.error, RecursionError, OverflowError, ValueError, KeyError) as problem:
        raise AnalysisError(
            f"The pattern cannot be read: {problem}.",
            "Check its brackets, or put \\ before a sign that is meant as it is.",
        ) from problem
    answer = None
    try:
        for found in compiled.finditer(text, timeout=seconds):
            said = next((group for group in found.groups() if group is not None), found[0])
            answer = said if said.strip() else answer
    except TimeoutError as problem:
        raise AnalysisError(
            f"The pattern was stopped: it took longer than {seconds:g} s on one text of {len(text):,} characters.",
            "Avoid one repetition inside another, as in (a+)+.",
        ) from problem
    return answer
