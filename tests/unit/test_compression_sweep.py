"""Sweeps over methods and shares: what they compare, what they keep when stopped, what they refuse."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from analysis.errors import AnalysisError, Cancelled
from analysis.pruning_effects.compression import compress as engine
from analysis.pruning_effects.compression.compress import compress
from analysis.pruning_effects.compression.results import FULL, WITHOUT
from analysis.pruning_effects.compression.sweep import sweep_compression
from analysis.pruning_effects.eviction.budgets import kept_count

TEXT = "The hat is in the hall. A cat sat on it, and he did not see the rat.\n\nThen the tin man ran to them."
QUESTION, ANSWER = "Where is the hat?", "in the hall"
METHODS = ["self-information", "llmlingua", "gradient", "random", "bottom gradient"]
KEPT = [1.0, 0.5, 0.2]


@pytest.fixture(scope="module")
def sweep(llama):
    return sweep_compression(llama, TEXT, QUESTION, ANSWER, METHODS, KEPT, seeds=3)


def test_the_table_has_a_row_for_every_run(sweep, llama):
    frame = sweep.to_frame()
    expected = {
        "method",
        "kept",
        "budget",
        "n_tokens",
        "n_mask",
        "share",
        "seed",
        "nll",
        "delta_nll",
        "answer_logp",
    }
    assert set(frame.columns) == expected
    assert frame["method"].tolist()[:2] == [FULL, WITHOUT]
    counts = frame["method"].value_counts()
    assert counts["random"] == 9 and all(counts[m] == 3 for m in METHODS if m != "random")
    runs = frame[~frame["method"].isin([FULL, WITHOUT])]
    n = len(llama.tokenizer(TEXT, add_special_tokens=False)["input_ids"])
    assert set(zip(runs["kept"], runs["budget"], strict=True)) == {(k, kept_count(n, k)) for k in KEPT}
    assert (runs["n_tokens"] <= runs["budget"]).all() and (runs["budget"] - runs["n_tokens"] <= 1).all()
    assert np.allclose(frame["delta_nll"], frame["nll"] - sweep.nll_full)
    assert np.allclose(frame["answer_logp"], -frame["nll"] * sweep.n_answer)
    assert sweep.n_original == n and not sweep.unavailable


def test_everything_kept_changes_nothing_and_a_change_may_be_negative(sweep):
    frame = sweep.to_frame()
    assert (frame[frame["kept"] == 1]["delta_nll"] == 0).all()
    assert (frame["delta_nll"] < 0).any() and (frame["delta_nll"] > 0).any()


def test_a_run_is_what_compress_gives(sweep, llama):
    for method in ("llmlingua", "bottom gradient", "random"):
        for kept in (0.5, 0.2):
            alone = compress(llama, TEXT, method, kept, question=QUESTION, answer=ANSWER, seed=0)
            there = sweep.find(method, kept, 0)
            assert there.text == alone.text and np.array_equal(there.keep, alone.keep)
    assert sweep.find("first", 0.5) is None


def test_scores_are_made_once(llama, monkeypatch):
    calls = []
    for name, original in list(engine.SCORES.items()):

        def counted(task, name=name, original=original):
            calls.append((name, task.kept))
            return original(task)

        monkeypatch.setitem(engine.SCORES, name, counted)
    sweep_compression(llama, TEXT, QUESTION, ANSWER, METHODS, KEPT, seeds=2)
    names = [name for name, _ in calls]
    assert sorted(names) == sorted(["self-information", "gradient", "random", *["llmlingua"] * 3])
    assert sorted(k for name, k in calls if name == "llmlingua") == sorted(KEPT)


def test_a_stopped_sweep_leaves_what_was_finished(llama):
    partial = []

    def stop(share, what):
        assert 0 <= share <= 1 + 1e-9
        if share > 0.6:
            raise Cancelled

    with pytest.raises(Cancelled):
        sweep_compression(
            llama, TEXT, QUESTION, ANSWER, METHODS, KEPT, on_progress=stop, on_partial=partial.append
        )
    assert [len(p.readings) for p in partial] == list(range(1, len(partial) + 1))
    whole = sweep_compression(llama, TEXT, QUESTION, ANSWER, METHODS, KEPT).to_frame()
    last = partial[-1].to_frame()
    assert 3 < len(last) < len(whole) and last.equals(whole.iloc[: len(last)])


def test_progress_never_falls_and_ends_at_one(llama):
    told = []
    sweep_compression(
        llama,
        TEXT,
        QUESTION,
        ANSWER,
        METHODS,
        [0.5],
        seeds=2,
        on_progress=lambda share, what: told.append(share),
    )
    assert told[-1] == 1.0 and len(told) > 30
    assert all(b >= a - 1e-9 for a, b in pairwise(told))


def test_one_method_that_cannot_serve_does_not_stop_the_others(llama):
    sweep = sweep_compression(
        llama, TEXT * 2, QUESTION, ANSWER, ["reagent", "llmlingua-2", "bottom reagent", "first"], [0.5, 0.3]
    )
    assert set(sweep.unavailable) == {"reagent", "bottom reagent", "llmlingua-2"}
    assert "64" in sweep.unavailable["reagent"] and "no folder" in sweep.unavailable["llmlingua-2"]
    assert len(sweep.readings) == 2
    small = sweep_compression(llama, TEXT, QUESTION, ANSWER, ["first"], [0.9, 0.02], unit="sentence")
    assert "Not a single sentence" in small.unavailable["first at 0.02"] and len(small.readings) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"text": ""}, "no text"),
        ({"question": " "}, "no question"),
        ({"answer": "\n"}, "no answer"),
        ({"question": "Where is "}, "cannot be tokenized alone"),
        ({"kept": [0.5, 0.0]}, "cannot be kept"),
        ({"kept": [1.5]}, "cannot be kept"),
        ({"kept": [float("nan")]}, "not a number"),
        ({"kept": []}, "No method or no share"),
        ({"methods": []}, "No method or no share"),
        ({"text": "the hat " * 3000}, "reads at most"),
        ({"answer": "the hat " * 2040}, "reads at most"),
        ({"answer": "x \udc00"}, "surrogate"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(llama, changed, message):
    given = {
        "text": TEXT,
        "question": QUESTION,
        "answer": ANSWER,
        "methods": ["first"],
        "kept": [0.5],
    } | changed
    if given["question"] == "Where is ":
        given["answer"] = "the hat"
    with pytest.raises(AnalysisError, match=message) as caught:
        sweep_compression(llama, *given.values())
    assert caught.value.hint and caught.value.message.count(". ") == 0


def test_wrong_calls_are_value_errors(llama):
    with pytest.raises(ValueError, match="magic"):
        sweep_compression(llama, TEXT, QUESTION, ANSWER, ["magic"], [0.5])
    with pytest.raises(ValueError, match="seeds"):
        sweep_compression(llama, TEXT, QUESTION, ANSWER, ["first"], [0.5], seeds=0)
