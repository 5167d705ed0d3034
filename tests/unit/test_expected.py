"""What was expected before a token: the sentence and the list, on runs whose answers are known."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from analysis.token_entropy.expected import Word, expected_words, likely_tokens, percent
from tests.figures.synthetic import run

NAMES = {0: " floor", 1: " bed", 2: " stone", 3: " atlas"}


@pytest.fixture
def tokens():
    """Before token 1 a floor, a bed, a stone were expected, and an atlas came."""
    plain = run(4).tokens
    return replace(
        plain,
        token_id=np.array([0, 3, 0, 1], np.int64),
        text=(" floor", " atlas", " floor", " bed"),
        rank=np.array([0, 5436, 1, 2], np.int32),
        surprisal=-np.log(np.array([np.nan, 7.05e-7, 0.5, 0.25], np.float32)),
        top_ids=np.array([[-1, -1, -1], [0, 1, 2], [0, 1, 2], [0, 1, 2]], np.int64),
        top_logprobs=np.log(np.array([[np.nan] * 3, *[[0.5, 0.25, 0.125]] * 3], np.float32)),
        names=NAMES,
    )


def test_the_sentence_says_what_was_expected_and_the_place_of_what_came(tokens):
    assert "".join(expected_words(tokens, 1)) == (
        "The model expected  floor (50.0 %);  atlas was its choice number 5\u2009436."
    )
    assert "".join(expected_words(tokens, 2)) == "The model expected  floor (50.0 %), and it came."
    assert "".join(expected_words(tokens, 3)).endswith(" bed was its choice number 2.")
    assert (
        "".join(expected_words(tokens, 0))
        == "Nothing came before  floor, so the model expected nothing here."
    )
    assert [str(piece) for piece in expected_words(tokens, 1) if isinstance(piece, Word)] == [
        " floor",
        " atlas",
    ]


def test_the_list_ends_with_the_token_that_came(tokens):
    far = likely_tokens(tokens, 1, 3)
    assert far["token"].tolist() == [" floor", " bed", " atlas"]
    assert far["place"].tolist() == [1, 2, 5436] and far["came"].tolist() == [False, False, True]
    np.testing.assert_allclose(far["probability"], [0.5, 0.25, 7.05e-7], rtol=1e-4)
    near = likely_tokens(tokens, 3, 2)
    assert near["token"].tolist() == [" floor", " bed"] and near["came"].tolist() == [False, True]
    assert len(likely_tokens(tokens, 1, 9)) == 4, "no more than there are, and the token that came"


def test_half_a_surrogate_pair_is_no_reason_to_fail(tokens):
    odd = dataclasses.replace(tokens, names=tokens.names | dict.fromkeys(tokens.names, "\ud800x"))
    assert set(likely_tokens(odd, 1, 3)["token"]) == {"?x"}


def test_small_shares_stay_plain():
    assert percent(0.251) == "25.1 %" and percent(1.2e-5) == "0.00120 %" and percent(1e-7) == "under 0.001 %"
