"""Sides of the embedded model against an independent dense script: whole tables of tokens x vocabulary in float64."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

import analysis as an
from app.examples import EXAMPLES
from tests.budget import rounding

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
TOKENS = 256
BLOCK = 32


@pytest.fixture(scope="module")
def text(smollm2):
    """Tokens that come out as they went in, of several kinds of text."""
    whole = "\n\n".join(example.text for example in EXAMPLES.values())
    return smollm2.tokenizer.decode(smollm2.tokenizer(whole)["input_ids"][:TOKENS])


def log_probs(model, ids):
    """float64, (T, V): the library's own logits, normalised in float64."""
    with torch.inference_mode():
        return torch.log_softmax(model(input_ids=torch.from_numpy(ids)[None]).logits[0].double(), -1).numpy()


def rounded_by_hand(model, bits):
    """A second model whose layers' matrices went through a symmetric grid in numpy."""
    copy = deepcopy(model)
    for layer in copy.model.layers:
        for weight in layer.parameters():
            if weight.dim() == 2:
                blocks = weight.detach().numpy().reshape(-1, BLOCK)
                scale = np.abs(blocks).max(1, keepdims=True) / np.float32(2 ** (bits - 1) - 1)
                on_grid = np.round(blocks / np.where(scale > 0, scale, 1)) * scale
                weight.data = torch.from_numpy(on_grid.reshape(weight.shape))
    return copy


def script(lp, lq, ids):
    """What quantisers publish, from two tables whose row t predicts token t of ``ids``."""
    p, rows = np.exp(lp), np.arange(len(ids))
    kl = (p * (lp - lq)).sum(-1)
    change = np.exp(lq[rows, ids]) - np.exp(lp[rows, ids])
    return {
        "Mean KLD": kl.mean(),
        "99.0% KLD": np.quantile(kl, 0.99),
        "Median KLD": np.median(kl),
        "Same top p": (lp.argmax(-1) == lq.argmax(-1)).mean(),
        "Mean Δp": change.mean(),
        "RMS Δp": np.sqrt((change**2).mean()),
        "99.0% Δp": np.quantile(change, 0.99),
        "1.0% Δp": np.quantile(change, 0.01),
        "Mean PPL(Q)": np.exp(-lq[rows, ids].mean()),
        "Mean ln(PPL(Q)/PPL(base))": (lp[rows, ids] - lq[rows, ids]).mean(),
    }


def assert_published(c, expected, near):
    table = an.published_rows(c)
    for name, value in expected.items():
        assert table[name].value == pytest.approx(value, abs=near, rel=near), name
    assert all(check.passed for check in c.checks), [check for check in c.checks if not check.passed]


def test_the_published_statistics_of_a_4_bit_round_trip(smollm2, text):
    c = an.compare(an.Side(smollm2, text), an.Side(smollm2, text, rounded="4-bit"))
    ids = c.a.tokens.token_id
    lp, lq = log_probs(smollm2.model, ids), log_probs(rounded_by_hand(smollm2.model, 4), ids)
    expected = script(lp[:-1], lq[:-1], ids[1:])
    assert_published(c, expected, 8 * rounding(lp[:-1][np.arange(len(ids) - 1), ids[1:]]))
    assert 0.2 < expected["Mean KLD"] < 0.8, "a grid of 15 values hurts a model of this size"
    assert "already rounded weights" in c.b.notes[-1]


def test_a_beginning_of_text_token_changes_the_first_tokens_most(smollm2, text):
    c = an.compare(an.Side(smollm2, text), an.Side(smollm2, text, bos="always"))
    ids, with_bos = c.a.tokens.token_id, c.b.tokens.token_id
    assert with_bos[0] == smollm2.tokenizer.bos_token_id and (with_bos[1:] == ids).all()
    lp, lq = log_probs(smollm2.model, ids)[:-1], log_probs(smollm2.model, with_bos)[1:-1]
    expected = script(lp, lq, ids[1:])
    assert_published(c, expected, 8 * rounding(lp[np.arange(len(ids) - 1), ids[1:]]))
    assert np.isnan(c.rows.kl_ab[0]), "token 0 of A has no context"
    assert c.rows.kl_ab[1:9].mean() > 10 * c.rows.kl_ab[64:].mean()


def test_the_untrained_model_is_as_far_away_as_an_even_guess_would_be(smollm2, text):
    c = an.compare(an.Side(smollm2, text), an.Side(smollm2, text, untrained=True))
    s = c.summary()
    even = np.log(smollm2.info.vocab_size) - np.nanmean(c.rows.entropy_a.astype(float))
    assert s["mean_kl_ab"].value == pytest.approx(even, rel=0.02)
    assert c.rows.jsd[1:].max() <= np.log(2) + 1e-6 and s["same_first"].value < 0.05
    assert all(check.passed for check in c.checks)


def test_precision_alone_changes_little(smollm2, text):
    c = an.compare(an.Side(smollm2, text), an.Side(smollm2, text, precision="bfloat16"))
    assert c.b.spec.dtype == "bfloat16" and len(c.differs) == 1
    assert 1e-4 < c.summary()["mean_kl_ab"].value < 2e-3
    assert (c.rows.kl_ab[1:] >= 0).all() and (c.rows.jsd[1:] >= 0).all()


def test_the_shipped_adapter_is_a_side_at_any_strength_and_nothing_at_none(smollm2, text, tmp_path):
    plain = an.Side(smollm2, text[:200])
    half = an.compare(plain, an.Side(smollm2, text[:200], adapter="lighthouse", strength=0.5))
    assert half.differs == ("adapter: none and lighthouse at strength 0.5",)
    whole = an.compare(plain, an.Side(smollm2, text[:200], adapter="lighthouse"))
    assert whole.differs == ("adapter: none and lighthouse",)
    assert 0 < half.summary()["mean_kl_ab"].value < whole.summary()["mean_kl_ab"].value
    none = an.compare(plain, an.Side(smollm2, text[:200], adapter="lighthouse", strength=0.0))
    assert (none.rows.tv[1:] == 0).all() and "to the bit" in none.notes[-1]
    stored = an.load_trace(half.b.save(tmp_path / "tuned.trace"))
    again = an.compare(an.Side(smollm2, text[:200], trace=half.a), stored)
    np.testing.assert_array_equal(again.rows.kl_ab, half.rows.kl_ab)
    assert again.differs == half.differs
