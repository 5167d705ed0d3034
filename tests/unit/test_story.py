"""One token's story: numbers by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis.attention_sinks.token_attention import TokenAttention
from analysis.pruning_effects.eviction.survival import Survival
from analysis.story.numbers import attended_by, forgotten, path, repeat_of
from analysis.story.sentence import sentence
from analysis.token_entropy.expected import Word
from tests.figures.synthetic import run

N = 12


def made(ids=(0, 1, 2, 0, 1, 2, 5, 1, 2, 3, 4, 6), n=N):
    """A run whose tokens are these; the output always says "g"."""
    trace = run(n, texts=("a", " b", " c", " d", " e", " f", " g"))
    tokens = trace.tokens
    ids = np.array(ids, np.int64)
    top_ids = np.tile(np.array([6, 5, 4]), (n, 1)).astype(np.int64)
    top_ids[0] = -1
    logprobs = np.log(np.tile(np.array([0.5, 0.2, 0.1], np.float32), (n, 1)))
    surprisal = np.full(n, np.float32(np.log(100)))
    rank = np.full(n, 7, np.int32)
    rank[0], surprisal[0] = 0, np.nan
    rank[8], surprisal[8] = 1, np.float32(np.log(4))
    text = tuple(tokens.names[int(i)] for i in ids)
    tokens = dataclasses.replace(
        tokens,
        token_id=ids,
        text=text,
        top_ids=top_ids,
        top_logprobs=logprobs,
        surprisal=surprisal,
        rank=rank,
    )
    return dataclasses.replace(trace, tokens=tokens)


def made_attention(n=N):
    mean = np.tril(np.full((n, n), 0.01, np.float32))
    mean[7, 2], mean[10, 2], mean[9, 4] = 0.3, 0.2, 0.4
    query = np.full((n, 3), -1, np.int32)
    layer, head, weight = query.copy(), query.copy(), np.zeros((n, 3), np.float32)
    query[2], layer[2], head[2], weight[2] = [7, 10, 3], [1, 2, 3], [4, 5, 6], [0.9, 0.8, 0.7]
    query[4, 0], layer[4, 0], head[4, 0], weight[4, 0] = 9, 2, 3, 0.5
    return TokenAttention(mean, query, layer, head, weight)


def made_survival(n_context=6, m=6):
    survived = np.ones((2, 3, n_context), np.float32)
    survived[0, :2] = 0.2
    survived[1, 0, 2] = np.nan
    surprisal = np.full((2, 3, m), 2.0, np.float32)
    surprisal[0, :, 2] = 5.0  # token 8, of the method that loses token 2
    return Survival(
        ("h2o", "snapkv"), ("H2O", "SnapKV"), np.array([0.1, 0.3, 0.5]), survived, surprisal,
        np.linspace(1, 2, m, dtype=np.float32), (3, 2),
    )  # fmt: skip


# Where it comes again -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "first", "expected"),
    [
        (2, 0, (5, 3)),  # "a b c" whole, not the later "b c"
        (2, 6, (8, 2)),
        (0, 0, (3, 1)),
        (1, 0, (4, 2)),
        (5, 0, (8, 2)),
        (8, 0, None),
        (6, 0, None),
    ],
)
def test_a_token_comes_again_where_most_words_before_it_are_the_same(position, first, expected):
    found = repeat_of(made().tokens, position, first)
    assert (found and (found.position, found.words)) == expected


def test_of_equal_repeats_the_first_counts():
    tokens = made(ids=(0, 1, 2, 1, 3, 1, 4, 1, 2, 3, 4, 6)).tokens
    assert repeat_of(tokens, 1).position == 3
    assert repeat_of(tokens, 1, 4).position == 5


# Its path -----------------------------------------------------------------------------------------


def test_the_path_outlines_what_the_output_says():
    trace = made()
    says = np.tile(np.array([[1], [6], [6]]), (1, N)).astype(np.int64)
    trace = dataclasses.replace(trace, layers=dataclasses.replace(trace.layers, lens_top_ids=says))
    found = path(trace, 4)
    assert [(s.layer, s.name, s.is_output) for s in found] == [
        (0, " b", False),
        (2, " g", True),
        (4, " g", True),
    ]
    assert found[1].entropy == pytest.approx(float(trace.layers.lens_entropy[1, 4]))
    assert path(run(8, lens=None), 3) is None


# Who attends to it ----------------------------------------------------------------------------------


def test_attention_is_pooled_and_named():
    found = attended_by(made(), made_attention(), 2)
    np.testing.assert_allclose(np.multiply(found.bars, 0.3), [0.01] * 5 + [0.3, 0.01, 0.01, 0.2, 0.01])
    assert found.before == pytest.approx(2 / N)
    assert (found.per_bin, found.peak) == (1, 7) and found.peak_weight == pytest.approx(0.3)
    assert [(x.position, x.layer, x.head) for x in found.strongest] == [(7, 1, 4), (10, 2, 5), (3, 3, 6)]
    pooled = attended_by(made(), made_attention(), 2, bins=4)
    assert pooled.per_bin == 3
    np.testing.assert_allclose(np.multiply(pooled.bars, 0.3), [0.01, 0.01, 0.3, 0.2])
    last = attended_by(made(), made_attention(), N - 1)
    assert last.peak == -1 and last.strongest == () and last.bars == (1.0,)


# When it is forgotten -----------------------------------------------------------------------------


def test_a_token_is_forgotten_and_its_repeat_pays():
    found = forgotten(made().tokens, made_survival(), 2)
    assert found.needed == 8 and found.full == pytest.approx(1.4)
    lost, kept = found.methods
    assert (lost.method, lost.below, lost.always, lost.surprisal) == ("h2o", 0.5, False, 5.0)
    assert (kept.below, kept.always, kept.surprisal) == (0.3, True, 2.0)
    assert lost.survived == pytest.approx(0.2) and kept.survived == 1
    assert forgotten(made().tokens, made_survival(), 6) is None


def test_without_a_repeat_the_token_predicted_while_attending_to_it_most_needed_it():
    tokens = made(ids=(0, 1, 2, 0, 1, 2, 5, 3, 3, 3, 4, 6)).tokens
    assert forgotten(tokens, made_survival(), 4).needed == -1
    assert np.isnan(forgotten(tokens, made_survival(), 4).full)
    assert forgotten(tokens, made_survival(), 4, made_attention()).needed == 10  # query 9 predicts token 10
    # Token 6 was predicted before the eviction: as a repeat it does not count.
    early = made(ids=(0, 1, 5, 0, 1, 2, 5, 3, 3, 3, 4, 6)).tokens
    assert forgotten(early, made_survival(), 2).needed == -1


# The sentence -------------------------------------------------------------------------------------


def said(*arguments, **options):
    return "".join(f"‹{p}›" if isinstance(p, Word) else p for p in sentence(*arguments, **options))


def test_the_sentence_says_what_was_measured():
    trace = made(ids=(0, 1, 2, 0, 1, 4, 5, 1, 2, 3, 4, 6))
    assert said(trace, 2) == (
        "The model expected ‹ g› (50.0 %); ‹ c› was its choice number 7. 6 tokens later the same words return, "
        "and ‹ c› is the first choice (25.0 %)."
    )
    whole = said(trace, 2, made_attention(), made_survival())
    assert "return, the ‹ b› before them attends to it with 90.0 % of head 4 in layer 1, and" in whole
    assert whole.endswith("the surprise comes back: ‹ c› (token 8) goes from 1.40 to 5.00 nats.")
    assert said(trace, 2, None, made_survival(), unit="bits").endswith("from 2.02 to 7.21 bits.")


def test_the_sentence_of_tokens_that_are_plain():
    trace = made()
    assert said(trace, 0).startswith("Nothing came before ‹a›")
    assert said(trace, 8) == "The model expected ‹ c› (25.0 %), and it came."
    assert said(made(ids=(0, 1, 2, 0, 4, 2, 5, 1, 2, 3, 3, 6)), 4, made_attention()).endswith(
        "It never comes again; ‹ d› (token 9) attends to it most, with 50.0 % of head 3 in layer 2."
    )
    kept = dataclasses.replace(made_survival(), survived=np.ones((2, 3, 6), np.float32))
    assert said(trace, 2, None, kept).endswith("With 30 % of the context kept, every method still holds it.")
    calm = dataclasses.replace(made_survival(), surprisal=np.full((2, 3, 6), 1.5, np.float32))
    assert said(trace, 2, None, calm).endswith("(token 8) goes from 1.40 to 1.50 nats.")
