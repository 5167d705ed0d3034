"""Trainer against engine: closed forms, a mismatch whose answer is known, and files that are refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from analysis.comparison import rollout_file
from analysis.comparison.rollout_file import EXAMPLE, read_rollouts, rollouts_from_bytes, rollouts_of
from analysis.comparison.rollout_run import compare_rollouts
from analysis.comparison.rollouts import CAP, RolloutMismatch
from analysis.errors import AnalysisError, BrokenFileError
from tests import budget

P = np.exp([2.0, 1, 0, -1]) / np.exp([2.0, 1, 0, -1]).sum()
Q = np.exp([1.0, 2, 0, 0]) / np.exp([1.0, 2, 0, 0]).sum()


def mismatch_of(engine, own, sequence=None, entropy=None) -> RolloutMismatch:
    n = len(engine)
    return RolloutMismatch(
        name="rows",
        model="tiny, float32",
        sequence=np.zeros(n, np.int32) if sequence is None else np.asarray(sequence, np.int32),
        position=np.arange(n, dtype=np.int32),
        token_id=np.arange(n),
        text=("a",) * n,
        engine=np.asarray(engine, np.float64),
        own=np.asarray(own, np.float64),
        entropy=np.arange(n, dtype=np.float64) if entropy is None else np.asarray(entropy, np.float64),
    )


def value(mismatch, name) -> float:
    return float(mismatch.summary().set_index("name")["value"][name])


def error(mismatch, name) -> float:
    return float(mismatch.summary().set_index("name")["error"][name])


def test_the_estimators_over_a_sample_in_exact_proportion_are_the_divergences():
    """Every token as often as the engine draws it: sample means are expectations."""
    times = np.round(P * 100_000).astype(int)
    found = mismatch_of(np.repeat(np.log(P), times), np.repeat(np.log(Q), times))
    near = {"abs": 3e-5}
    assert value(found, "k1, mean of tokens") == pytest.approx(0.428595, **near)  # KL(P || Q), not .414753
    assert value(found, "k3, mean of tokens") == pytest.approx(0.428595, **near)
    assert value(found, "k2, mean of tokens") == pytest.approx(0.477972, **near)
    assert value(found, "chi-squared of tokens") == pytest.approx(0.941700, **near)
    assert value(found, "effective share of tokens, raw") == pytest.approx(0.515013, **near)


def test_truncation_flatters_and_is_said():
    found = mismatch_of([-1.0, -1.0, -5.0], [-1.0, -1.0, -5.0 + math.log(8)])
    assert value(found, "effective share of tokens, raw") == pytest.approx((10 / 3) ** 2 / (66 / 3))
    assert value(found, "effective share of tokens, truncated") == pytest.approx((4 / 3) ** 2 / (6 / 3))
    assert value(found, "largest ratio") == pytest.approx(8) and value(found, "share truncated") == 1 / 3
    np.testing.assert_allclose(found.ratio(CAP), [1, 1, 2])
    says = found.summary().set_index("name")["says"]["effective share of tokens, truncated"]
    assert "flatters" in says and "2" in says


def test_means_of_tokens_and_of_sequences_are_two_things():
    """One sequence of three tokens off by .3 each, one of one token off by .1."""
    found = mismatch_of([-1, -1, -1, -2], [-1.3, -1.3, -1.3, -2.1], [0, 0, 0, 4])
    assert value(found, "k1, mean of tokens") == pytest.approx(0.25)
    assert value(found, "k1, mean of sequences") == pytest.approx(0.2)
    assert error(found, "k1, mean of sequences") == pytest.approx(0.1)
    # sums around the mean of tokens: 3 x .05 and -.15
    assert error(found, "k1, mean of tokens") == pytest.approx(math.sqrt(2 * 0.15**2 * 2) / 4)
    table = found.by_sequence()
    assert table["sequence"].tolist() == [0, 4] and table["n_tokens"].tolist() == [3, 1]
    np.testing.assert_allclose(table["log_ratio_nats"], [-0.9, -0.1])
    np.testing.assert_allclose(table["perplexity_model"], np.exp([1.3, 2.1]))
    assert value(found, "chi-squared of sequences") == pytest.approx(
        (math.exp(-1.8) + math.exp(-0.2)) / 2 - 1
    )
    assert value(found, "perplexity, engine") == pytest.approx((math.e + math.e**2) / 2)
    np.testing.assert_allclose(found.by_sequence("bits")["k1_bits"], np.array([0.3, 0.1]) / math.log(2))
    bits = found.summary("bits").set_index("name")
    assert bits["value"]["k1, mean of sequences"] == pytest.approx(0.2 / math.log(2))
    assert bits["error"]["k1, mean of sequences"] == pytest.approx(0.1 / math.log(2))
    assert bits["value"]["perplexity, engine"] == value(found, "perplexity, engine")
    assert set(bits["unit"]) == {"bits", ""}


def test_a_single_sequence_has_no_standard_error_and_a_long_one_no_overflow():
    found = mismatch_of(np.full(50, -40.0), np.full(50, -1.0))
    assert math.isnan(error(found, "k1, mean of tokens")) and math.isnan(
        error(found, "k1, mean of sequences")
    )
    assert value(found, "chi-squared of sequences") == pytest.approx(math.exp(40), rel=1e-6)
    assert np.isfinite(found.summary()["value"]).all()


def test_the_same_on_both_sides_is_nothing():
    found = mismatch_of([-1.0, -2.0, -0.5], [-1.0, -2.0, -0.5], [0, 0, 1])
    assert not np.any(found.log_ratio)
    for name in (
        "k1, mean of tokens",
        "k3, mean of tokens",
        "chi-squared of tokens",
        "chi-squared of sequences",
    ):
        assert value(found, name) == 0
    assert value(found, "effective share of sequences, raw") == 1


def test_bins_of_entropy_hold_equally_many_tokens_from_the_surest_on():
    own = -np.arange(8) / 10
    found = mismatch_of(np.zeros(8), own, entropy=[7, 6, 5, 4, 3, 2, 1, 0])
    table = found.by_entropy(4)
    assert table["n_tokens"].tolist() == [2, 2, 2, 2]
    np.testing.assert_allclose(table["entropy_nats"], [0.5, 2.5, 4.5, 6.5])
    np.testing.assert_allclose(table["absolute_log_ratio_nats"], [0.65, 0.45, 0.25, 0.05])
    assert len(found.by_entropy(50)) == 8


# Against a model ------------------------------------------------------------------------------------------


@pytest.fixture
def llama(load_tiny):
    return load_tiny("llama")


def right(model, ids) -> np.ndarray:
    """Log-probabilities (T, V) by the library, in float64; row t predicts token t."""
    import torch

    with torch.inference_mode():
        logits = model.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    return torch.log_softmax(logits, -1).numpy()[:-1]


def test_an_engine_that_is_off_by_known_amounts(llama):
    """The engine's log-probabilities are the library's, less a known difference for every token."""
    ids = [[5, 17, 80, 3, 44], [9, 9, 12]]
    truth = [right(llama, i)[np.arange(len(i) - 1), i[1:]] for i in ids]
    off = [np.array([0.01, -0.02, 0.0, 0.03]), np.array([-0.5, 0.25])]
    rows = [
        {"tokens": i, "logprobs": [None, *(t - d).tolist()]} for i, t, d in zip(ids, truth, off, strict=True)
    ]
    found = compare_rollouts(llama, rollouts_of(rows))
    near = budget.rounding(*truth) * budget.WIDE
    np.testing.assert_allclose(found.log_ratio, np.concatenate(off), atol=near)
    assert found.sequence.tolist() == [0] * 4 + [1] * 2 and found.position.tolist() == [1, 2, 3, 4, 1, 2]
    assert found.token_id.tolist() == [17, 80, 3, 44, 9, 12] and not found.notes
    assert value(found, "k1, mean of tokens") == pytest.approx(-np.concatenate(off).mean(), abs=near)
    expected = [-(np.exp(row) * row).sum() for row in np.concatenate([right(llama, i) for i in ids])]
    np.testing.assert_allclose(found.entropy, expected, atol=near)


def test_only_what_was_drawn_counts_and_a_beginning_without_context_is_said(llama):
    rows = [
        {"prompt": [5, 17], "tokens": [80, 3], "logprobs": [-3.0, -4.0]},
        {"tokens": [5, 17], "logprobs": [-1.0, -2.0]},
        {"tokens": [5], "logprobs": [-1.0]},
        {"tokens": [5, 6, 7], "logprobs": [None, None, None]},
    ]
    rollouts = rollouts_of(rows)
    assert len(rollouts) == 4 and rollouts.n_drawn == 5
    found = compare_rollouts(llama, rollouts)
    assert found.position.tolist() == [2, 3, 1] and found.sequence.tolist() == [0, 0, 1]
    assert found.engine.tolist() == [-3.0, -4.0, -2.0]
    assert found.notes == ("Tokens that begin a sequence have no context and are left out: 2.",)
    frame = found.to_frame("bits")
    assert len(frame) == 3 and frame["log_ratio_bits"].iloc[0] == pytest.approx(
        found.log_ratio[0] / math.log(2)
    )
    with pytest.raises(AnalysisError, match="has a token before it"):
        compare_rollouts(llama, rollouts_of(rows[2:3]))


def test_progress_goes_from_0_to_1(llama):
    told = []
    rows = [{"tokens": [5, 17, 80], "logprobs": [None, -1.0, -1.0]}] * 3
    compare_rollouts(llama, rollouts_of(rows), on_progress=lambda share, what: told.append(share))
    assert told == sorted(told) and told[-1] == pytest.approx(1)


def test_ids_of_another_model_are_refused(llama):
    rows = [{"tokens": [5, 17], "logprobs": [None, -1.0]}, {"tokens": [5, 40_000], "logprobs": [None, -1.0]}]
    with pytest.raises(AnalysisError, match=r"Sequence 2 of rows.jsonl holds the id 40,000"):
        compare_rollouts(llama, rollouts_of(rows, "rows.jsonl"))


# Files ----------------------------------------------------------------------------------------------------

ROWS = [
    {"prompt": [1, 2], "tokens": [3, 4], "logprobs": [-0.25, -1.5]},
    {"tokens": [5, 6, 7], "logprobs": [None, -2.0, 0.0]},
]


def written(path, rows=ROWS):
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")
        pd.DataFrame([{"prompt": [], **row} for row in rows]).to_parquet(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    else:
        path.write_text("\ufeff" + "\n\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["r.jsonl", "r.json", "r.parquet", "r.txt"])
def test_every_form_gives_the_same(tmp_path, name):
    found = read_rollouts(str(written(tmp_path / name)))
    assert found.name == name and found.n_drawn == 4
    assert [ids.tolist() for ids in found.tokens] == [[1, 2, 3, 4], [5, 6, 7]]
    np.testing.assert_array_equal(found.logprobs[0], [np.nan, np.nan, -0.25, -1.5])
    np.testing.assert_array_equal(found.logprobs[1], [np.nan, -2.0, 0.0])
    again = rollouts_from_bytes((tmp_path / name).read_bytes(), name)
    assert all(map(np.array_equal, again.tokens, found.tokens))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"tokens": [1, 2], "logprobs": [-1.0]}, "Row 2 of .* 2 tokens and 1 log-prob"),
        ({"tokens": [1, -2], "logprobs": [-1.0, -1.0]}, "no id"),
        ({"tokens": [1, 2.5], "logprobs": [-1.0, -1.0]}, "no id"),
        ({"tokens": [1, True], "logprobs": [-1.0, -1.0]}, "no id"),
        ({"tokens": [1, 2], "logprobs": [-1.0, math.nan]}, "log-probability nan"),
        ({"tokens": [1, 2], "logprobs": [-1.0, 0.5]}, "log-probability 0.5"),
        ({"tokens": [1, 2], "logprobs": [-1.0, -math.inf]}, "log-probability -inf"),
        ({"tokens": [1, 2], "logprobs": [-1.0, "a"]}, "no number"),
        ({"tokens": [1, 2]}, "no list 'logprobs'"),
        ({"tokens": "1 2", "logprobs": [-1.0]}, "no list 'tokens'"),
        ({"tokens": [1], "logprobs": [-1.0], "prompt": "a"}, "no id"),
        ([1, 2], "no list 'tokens'"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, row, says):
    path = written(tmp_path / "r.jsonl", [ROWS[0], row])
    with pytest.raises(BrokenFileError, match=says) as found:
        read_rollouts(path)
    assert found.value.hint and "\n" not in found.value.message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no token that was drawn"),
        (b"[]", "no token that was drawn"),
        (b'{"tokens": [], "logprobs": []}', "no token that was drawn"),
        (b'{"tokens": [1], "logprobs": [null]}', "no token that was drawn"),
        (b'{"tokens": [1], "logprobs"', "Line 1 of .* no valid JSON"),
        (b"[1, 2", "no valid JSON"),
        (b"\xff\xfe\x00", "no text"),
        (b"PAR1 and no more", "damaged"),
    ],
)
def test_what_is_no_file_of_rollouts_says_so(tmp_path, content, says):
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(BrokenFileError, match=says):
        read_rollouts(path)


def test_a_missing_file_and_a_folder_are_said(tmp_path):
    for path in (tmp_path, tmp_path / "none.jsonl"):
        with pytest.raises(BrokenFileError):
            read_rollouts(path)


def test_too_much_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path / "r.jsonl")
    monkeypatch.setattr(rollout_file, "MAX_TOKENS", 5)
    with pytest.raises(AnalysisError, match="more than 5 tokens"):
        read_rollouts(path)
    monkeypatch.setattr(rollout_file, "MAX_BYTES", 10)
    with pytest.raises(AnalysisError, match="at most"):
        read_rollouts(path)


# What is shipped ------------------------------------------------------------------------------------------


def test_the_example_is_small_and_whole():
    assert EXAMPLE.stat().st_size < 60_000
    found = read_rollouts(EXAMPLE)
    lengths = {int((~np.isnan(values)).sum()) for values in found.logprobs}
    assert len(found) == 16 and len(lengths) > 2, "sequences of different length"


@pytest.mark.embedded
def test_the_example_shows_the_rounding_of_bfloat16(smollm2):
    """Engine and model are the same weights in two precisions: divergences of some thousandths of a nat."""
    found = compare_rollouts(smollm2, read_rollouts(EXAMPLE))
    k3_mean, share = value(found, "k3, mean of tokens"), value(found, "effective share of tokens, raw")
    assert 1e-5 < k3_mean < 0.02 and 0.97 < share < 1
    assert abs(value(found, "k1, mean of tokens")) < 0.05
