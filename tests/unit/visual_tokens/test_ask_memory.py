"""A measured answer about many visual tokens takes little more memory than a plain one: no map of tokens by tokens."""

from __future__ import annotations

import pytest

from benchmarks.visual_tokens import LIMIT, PATCH, SIDE, measure


@pytest.mark.slow
def test_two_thousand_visual_tokens_take_half_as_much_again_at_most():
    """Maps of one layer alone would be 134 MiB: twice what the plain pass takes beyond the model."""
    assert (SIDE // PATCH) ** 2 == 2025 and LIMIT == 1.5
    found = measure(["plain", "measured"], 1)
    [plain], [measured] = found["plain"], found["measured"]
    assert measured.said == plain.said
    assert plain.extra > 30 * 2**20 and measured.extra <= LIMIT * plain.extra
