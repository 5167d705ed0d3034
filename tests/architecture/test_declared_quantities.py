"""A quantity per token is named where it is declared, stored and measured, and nowhere else."""

from __future__ import annotations

import re

import pytest

from analysis.results.token_quantities import TOKEN_QUANTITIES, stored_quantities
from tests.architecture.test_imports import FILES, name_of

DECLARED = "analysis/results/token_quantities.py"
STORED = "analysis/results/tokens.py"
MEASURED = "analysis/forward/vocabulary_head.py"
SOURCES = {name_of(path): path.read_text() for path in FILES}
TAKEN_UP = {
    "max_prob": {
        "analysis/writing/results.py",  # numbers of written tokens, as arrays of a class of their own
        "analysis/lessons/forks/claims.py",  # a lesson asks how sure the model was
        "analysis/lessons/forks/figures.py",
    },
    "varentropy": {  # the classes of entropix are made of it
        "analysis/writing/check.py",
        "analysis/writing/results.py",
        "analysis/token_entropy/measures.py",
        "analysis/token_entropy/figures.py",
        "app/panels/token_entropy/charts.py",
    },
}
"""Files that make something else of a quantity; the three above and a test are all that a new one touches."""


@pytest.mark.parametrize("name", TAKEN_UP)
def test_a_measured_quantity_is_named_in_three_files(name):
    named = {file for file, source in SOURCES.items() if re.search(rf"\b{name}\b", source)}
    assert named - {"analysis/units.py"} == {DECLARED, STORED, MEASURED} | TAKEN_UP[name]


@pytest.mark.parametrize("name", TOKEN_QUANTITIES)
def test_what_is_said_about_a_quantity_is_said_once(name):
    quantity = TOKEN_QUANTITIES[name]
    for text in (quantity.title, quantity.colours, quantity.help):
        assert [file for file, source in SOURCES.items() if f'"{text}"' in source] == [DECLARED]


def test_no_file_lists_the_quantities_again():
    """Three of the stored ones in a row of strings would be a list of its own."""
    names = "|".join(quantity.name for quantity in stored_quantities())
    again = re.compile(rf'(["\'](?:{names})["\'],\s*){{3}}')
    assert not [file for file, source in SOURCES.items() if again.search(source)]
