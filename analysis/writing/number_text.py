"""Numbers as people and models write them: read exactly, so that 1/2, .50 and 0.5 are one."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

_LONGEST = 80
"""Characters of a number that is read as one; a longer one stays a text."""
_LARGEST_EXPONENT = 100
_WHOLE = r"(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?!\d)"
_DECIMAL = rf"(?:{_WHOLE}(?:\.\d+)?|\.\d+)"
_NUMBER = rf"{_DECIMAL}(?:e[-+]?\d+)?"
_FRACTION = re.compile(rf"([-+]?)\s?(?:(\d+)\s+)?({_NUMBER})(?:\s?/\s?({_NUMBER}))?\s?(%?)", re.IGNORECASE)
_POINTS_ONLY = re.compile(r"([-+]?)(\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?|\d{1,3}(?:\.\d{3})+,\d+)(%?)")
_GROUPED = re.compile(r"(?<![\w.,])\d{1,3}(?:['\u2019_\u2009\u202f\u00a0]\d{3})+(?!\d)")
_FRACTION_SIGN = re.compile("(?<=\\d)(?=[\u00bc-\u00be\u2150-\u215e\u2189])")
_SUPERSCRIPT = re.compile(
    "(?=[\u00b2\u00b3\u00b9\u2070\u2074-\u2079])(?<![\u00b2\u00b3\u00b9\u2070\u2074-\u2079])"
)
_IN_TEXT = re.compile(
    rf"(?<!\w)(?<!\d\.)(?:(?<![\w)\]])[-+])?(?!(?<=\.)\.)(?:\d+ (?=\d+/\d))?{_NUMBER}(?:/{_NUMBER})?%?",
    re.IGNORECASE,
)
_SIGNS = str.maketrans({"\u2212": "-", "\ufe63": "-", "\uff0d": "-", "\u2044": "/", "\u2215": "/"})
_WORDS = {
    word: value
    for value, word in enumerate(
        (
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        )
    )
}


def plain(text: str) -> str:
    """A text with one form for every character (NFKC), in which no number has become another.

    NFKC alone makes 11/2 of 1½ and 22 of 2²; here they are "1 1/2" and "2^2". Minus signs become hyphens; thin spaces,
    apostrophes and underscores between groups of three digits become commas.
    """
    text = _GROUPED.sub(lambda found: re.sub(r"\D", ",", found[0]), text)
    text = _SUPERSCRIPT.sub("^", _FRACTION_SIGN.sub(" ", text))
    return unicodedata.normalize("NFKC", text).translate(_SIGNS)


def value_of(text: str) -> tuple[Fraction, str] | None:
    """The number that a text is, and its percent sign if it has one; None if it is not just a number.

    Parameters
    ----------
    text : str
        As :func:`plain` leaves it, without spaces around it.

    Returns
    -------
    tuple of (Fraction, str) or None
        Exact. ``1 1/2`` is 3/2; English words from zero to twelve count.

    Notes
    -----
    The point is the decimal mark. Commas group thousands where groups of three follow: ``1,234`` is 1234. Points group where they cannot be decimal marks: ``1.234.567`` and
    ``1.234,5``. ``1,5`` may be one number or two and is none here.
    """
    if len(text) > _LONGEST:
        return None
    if text.casefold() in _WORDS:
        return Fraction(_WORDS[text.casefold()]), ""
    if turned := _POINTS_ONLY.fullmatch(text):
        text = turned[1] + turned[2].replace(".", "").replace(",", ".") + turned[3]
    found = _FRACTION.fullmatch(text)
    if not found:
        return None
    sign, whole, above, below, percent = found.groups()
    if whole and not below:
        return None
    first, second = _exact(above), _exact(below or "1")
    if first is None or not second:
        return None
    value = first / second + int(whole or 0)
    return (-value if sign == "-" else value), percent


def _exact(number: str) -> Fraction | None:
    digits, _, exponent = number.casefold().replace(",", "").partition("e")
    if exponent and (len(exponent) > 5 or abs(int(exponent)) > _LARGEST_EXPONENT):
        return None
    return Fraction(digits) * Fraction(10) ** int(exponent or 0)


def spelled(value: Fraction) -> str:
    """One way to write a number: with a decimal point where that ends, else as a fraction."""
    for places in range(2 * _LARGEST_EXPONENT):
        if 10**places % value.denominator == 0:
            break
    else:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def last_number(text: str) -> str | None:
    """The last number in a text as it is written there, a mixed number, fraction or percentage whole; None without one.

    A hyphen is a minus unless a letter, a digit or a bracket stands before it. Digits inside a word, as in x2, are none.
    """
    found = [match[0] for match in _IN_TEXT.finditer(text)]
    return found[-1] if found else None
