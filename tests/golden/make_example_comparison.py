"""Writes what the page Compare shows before a visitor compares.

    python -m tests.golden.make_example_comparison

The first example on the embedded model, and the same with one word changed. To be written again when a comparison holds
something new, on one thread, so that the same numbers come on every machine of a kind.
"""

from __future__ import annotations

from dataclasses import replace

from app.examples import DEFAULT, EXAMPLES
from app.panels.compare.request import OTHER_WORD
from app.panels.compare.running import EXAMPLE_COMPARISON


def write_example() -> None:
    """Compare both texts and store the comparison with the app."""
    import torch

    import analysis as an

    torch.set_num_threads(1)
    text = EXAMPLES[DEFAULT].text
    other = text
    for word, instead in OTHER_WORD.items():
        other = other.replace(word, instead, 1)
    model = an.load_model(device="cpu")
    c = an.compare(an.Side(model, text), an.Side(model, other))
    # Without the states, which nothing on the page asks of a comparison that has its numbers
    replace(c, a=replace(c.a, final_states=None), b=replace(c.b, final_states=None)).save(EXAMPLE_COMPARISON)


if __name__ == "__main__":
    write_example()
