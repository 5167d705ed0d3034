"""Compressing one text: budgets, masks, methods, and everything that is refused."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import AnalysisError, Cancelled, OutOfMemoryError, TooLongError
from analysis.pruning_effects.compression import gradient, llmlingua, llmlingua2, longllmlingua, reagent
from analysis.pruning_effects.compression.answers import tail_of
from analysis.pruning_effects.compression.compress import compress
from analysis.pruning_effects.compression.pieces import units_of
from analysis.pruning_effects.compression.results import BOTTOM, CONTROLS, METHODS, SCORERS
from analysis.pruning_effects.compression.sweep import sweep_compression
from analysis.pruning_effects.eviction.budgets import kept_count

TEXT = "The hat is in the hall. A cat sat on it, and he did not see the rat.\n\nThen the tin man ran — naïve 猫 👩‍👩‍👧 — to them."
SHORT = "The hat is in the hall."
QUESTION, ANSWER = "Where is the hat?", "in the hall"
ASKED = {"question": QUESTION, "answer": ANSWER}
WITHOUT_WEIGHTS = [m for m in METHODS if "llmlingua-2" not in m and "reagent" not in m]


@pytest.fixture
def count(llama):
    return lambda text: len(llama.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("method", WITHOUT_WEIGHTS)
@pytest.mark.parametrize("kept", [1.0, 0.5, 0.11])
def test_every_method_makes_a_shorter_text_of_pieces(llama, count, method, kept):
    short = compress(llama, TEXT, method, kept, **ASKED)
    n = count(TEXT)
    assert (short.n_original, short.budget) == (n, kept_count(n, kept))
    assert short.n_tokens == count(short.text) <= short.budget
    assert short.budget - short.n_tokens <= (4 if method in ("every nth", "first", "last") else 1)
    assert short.text == "".join(TEXT[a:b] for a, b in short.spans)
    assert short.keep.dtype == bool and len(short.keep) == len(short.scores) == n and short.keep.any()
    assert short.n_kept == short.keep.sum()
    if kept == 1:
        assert short.text == TEXT and short.keep.all()
    for cell in range(len(short.cell_text)):
        assert len(set(short.keep[short.cell == cell])) == 1
    frame = short.to_frame()
    assert frame["kept"].tolist() == short.keep.tolist() and len(frame) == n


@pytest.mark.parametrize("method", ["self-information", "attention", "llmlingua", "random", "last"])
@pytest.mark.parametrize("unit", ["word", "sentence"])
def test_units_are_kept_as_a_whole(llama, method, unit):
    short = compress(llama, TEXT, method, 0.6, unit=unit)
    from analysis.models.tokenization import encode

    units = units_of(TEXT, encode(llama.tokenizer, TEXT, bos="never"), unit)
    for u in range(len(units)):
        assert len(set(short.keep[units.of_token == u])) == 1
    assert 0 < short.n_tokens <= short.budget and short.unit == unit


def test_the_highest_scores_are_kept_and_bottom_keeps_the_lowest(llama):
    text = "the hat and the tin can in the inn " * 4  # one token a unit
    for method in ("self-information", "gradient", "attention"):
        high = compress(llama, text, method, 0.4, **ASKED)
        low = compress(llama, text, BOTTOM + method, 0.4, **ASKED)
        assert np.allclose(high.scores, low.scores)
        slack = 2  # a unit that would merge with its neighbour may be passed over
        assert np.sort(high.scores[high.keep])[slack] >= np.sort(high.scores[~high.keep])[-1 - slack]
        assert np.sort(low.scores[low.keep])[-1 - slack] <= np.sort(low.scores[~low.keep])[slack]


def test_first_last_and_spread(llama):
    first, last = (compress(llama, TEXT, name, 0.3) for name in ("first", "last"))
    assert TEXT.startswith(first.text) and TEXT.endswith(last.text)
    gaps = np.diff(np.flatnonzero(compress(llama, "the hat " * 40, "every nth", 0.25).keep))
    assert gaps.max() - gaps.min() <= 2


def test_seeds_change_random_methods_only(llama):
    for method, several in (("random", True), ("stop words", True), ("self-information", False)):
        texts = {compress(llama, TEXT, method, 0.5, seed=seed).text for seed in range(4)}
        assert (len(texts) > 1) == several
    again = [compress(llama, TEXT, "random", 0.5, seed=2).text for _ in range(2)]
    assert again[0] == again[1]


def test_stop_words_go_before_all_others(llama):
    text = "the lighthouse and the harbour are not on seven islands"
    short = compress(llama, text, "stop words", 0.8, unit="word")
    assert all(word in short.text for word in ("lighthouse", "harbour", "not", "seven", "islands"))
    frame = short.to_frame()
    assert set(frame["score"]) == {0.0, 1.0}
    other = compress(llama, text, "stop words", 0.8, keep_negations=False, keep_numerals=False)
    at = [text.index(word) for word in (" not", " seven")]
    ends = np.cumsum([len(t) for t in other.cell_text])
    for place in at:
        assert other.scores[other.cell == int(np.searchsorted(ends, place, "right"))][0] == 0


# LLMLingua --------------------------------------------------------------------------------------------


def test_chunk_threshold_is_the_score_at_that_rank():
    scores = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert llmlingua.chunk_threshold(scores, 0.6) == 3.0  # int(5 * .6) - 1 = index 2 of 5 4 3 2 1
    assert llmlingua.chunk_threshold(scores, 0.1) == 5.0  # index -1 would keep nearly all
    assert llmlingua.chunk_threshold(scores, 1.0) == -np.inf


def test_the_engine_scores_every_chunk_after_what_was_kept_of_the_others(llama, monkeypatch):
    from analysis.pruning_effects.compression.compress import make_passage

    text = "the hat and the tin can in the inn " * 4
    with llama.lock:
        task = make_passage(llama, text, "token")
    n, rng, calls = len(task.ids), np.random.default_rng(0), []
    drawn = rng.random(n).astype(np.float32)

    def scorer(before, ids, report):
        begin = sum(len(c[1]) for c in calls)
        calls.append((list(before), list(ids)))
        return drawn[begin : begin + len(ids)]

    monkeypatch.setattr(llmlingua, "CHUNK", 10)
    scores, keep = llmlingua.iterate(task, scorer, np.full(n, 0.5))
    assert np.array_equal(scores, drawn) and [t for c in calls for t in c[1]] == task.ids
    begin = 0
    for before, ids in calls:
        assert before == [task.ids[t] for t in np.flatnonzero(keep[:begin])]
        m = len(ids)
        expected = set(begin + np.argsort(-drawn[begin : begin + m])[: max(0, int(m * 0.5) - 1)])
        assert set(begin + np.flatnonzero(keep[begin : begin + m])) == expected | (
            {0} if begin == 0 else set()
        )
        begin += m


def test_better_documents_keep_more():
    assert longllmlingua.document_shares(np.array([2.0, 1.0, 3.0]), 0.5).tolist() == [0.5, 0.8, 0.2]
    assert longllmlingua.document_shares(np.array([2.0]), 0.4).tolist() == [0.4]
    assert longllmlingua.document_shares(np.array([1.0, 2.0]), 0.9).tolist() == pytest.approx([1.0, 0.6])


# ReAGent ----------------------------------------------------------------------------------------------


def test_reagent_update_is_the_formula():
    replaced = np.array([[True, False]])
    moved = reagent.update(np.zeros((1, 2)), replaced, np.array([0.5]))
    assert moved[0, 0] == pytest.approx(np.log(3)) and moved[0, 1] == pytest.approx(-np.log(3))
    assert np.isfinite(reagent.update(np.zeros((1, 2)), replaced, np.array([1.0]))).all()


def test_reagent_finds_the_token_that_decides(llama, monkeypatch):
    """A made-up model: the target is likely while token 3 of the text is in its place."""
    import torch

    text = "the hat in the tin can"
    ids = llama.tokenizer(text, add_special_tokens=False)["input_ids"]
    target = tail_of(llama.tokenizer, "What?", "hat").answer_ids[0]

    def probs(task, rows):
        out = torch.full((len(rows), 320), 0.001)
        out[:, target] = torch.where(torch.from_numpy(rows[:, 3]) == ids[3], 0.9, 0.0)
        return out

    monkeypatch.setattr(reagent, "_next_probs", probs)
    monkeypatch.setattr(reagent, "TOP_TOKENS", 1)
    monkeypatch.setattr(reagent, "MOST_STEPS", 60)
    asked = {"question": "What?", "answer": "hat"}
    short = compress(llama, text, "reagent", 0.3, **asked)
    assert int(np.argmax(short.scores)) == 3 and short.keep[3]
    assert short.scores.sum() == pytest.approx(1, abs=1e-5)
    assert short.note.startswith("5 of 5")


def test_reagent_takes_short_texts_only(llama, monkeypatch):
    monkeypatch.setattr(reagent, "MOST_STEPS", 4)
    short = compress(llama, SHORT, "reagent", 0.5, **ASKED)
    again = compress(llama, SHORT, "reagent", 0.5, **ASKED)
    assert np.array_equal(short.scores, again.scores) and np.isfinite(short.scores).all()
    with pytest.raises(TooLongError, match="64"):
        compress(llama, TEXT * 2, "reagent", 0.5, **ASKED)


# LLMLingua-2 ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A tiny random token classifier of two classes with a tokenizer, as a local folder."""
    import torch
    from transformers import BertConfig, BertForTokenClassification

    from tests.tiny_models.tokenizer import byte_tokenizer

    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=320,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=2,
        initializer_range=0.5,
    )
    BertForTokenClassification(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def test_cuts_come_after_dots():
    ends = np.zeros(12, bool)
    ends[[2, 6]] = True
    assert llmlingua2.chunks(ends, 5) == [(0, 3), (3, 7), (7, 12)]
    assert llmlingua2.chunks(np.zeros(7, bool), 3) == [(0, 3), (3, 6), (6, 7)]
    assert llmlingua2.chunks(ends, 20) == [(0, 12)]


def test_a_classifier_scores_words(llama, classifier):
    import torch
    from transformers import AutoModelForTokenClassification

    short = compress(llama, SHORT, "llmlingua-2", 0.5, unit="word", classifier=str(classifier))
    ids = llama.tokenizer(SHORT, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = AutoModelForTokenClassification.from_pretrained(classifier)(torch.tensor([ids])).logits[0]
    p = torch.softmax(logits.double(), -1)[:, 1].numpy()
    from analysis.models.tokenization import encode

    units = units_of(SHORT, encode(llama.tokenizer, SHORT, bos="never"), "word")
    expected = units.mean(p)[units.of_token]
    assert np.abs(short.scores - expected).max() < 1e-5
    assert short.n_tokens <= short.budget
    long = compress(llama, TEXT, "llmlingua-2", 0.5, classifier=str(classifier))  # several chunks
    assert np.isfinite(long.scores).all() and 0 < long.scores.min() < long.scores.max() < 1


def test_why_there_is_no_classifier(llama, tmp_path, classifier, tiny_folder):
    for folder, reason in (
        (None, "no folder was given"),
        (str(tmp_path / "none"), "there is no folder"),
        (str(tmp_path), "no config.json"),
        (str(tiny_folder("llama")), "another kind of model"),
    ):
        with pytest.raises(AnalysisError, match="not available") as caught:
            compress(llama, SHORT, "llmlingua-2", 0.5, classifier=folder)
        assert reason in caught.value.message and caught.value.hint


# What is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0.0, -0.1, 1.01, float("nan"), float("inf")])
def test_shares_outside_are_refused(llama, kept):
    with pytest.raises(AnalysisError):
        compress(llama, TEXT, "first", kept)


def test_what_is_missing_is_said(llama, load_tiny):
    with pytest.raises(AnalysisError, match="no text"):
        compress(llama, "  ", "first", 0.5)
    with pytest.raises(AnalysisError, match="surrogate"):
        compress(llama, "a \ud800", "first", 0.5)
    for method in ("gradient", "longllmlingua", "reagent"):
        with pytest.raises(AnalysisError, match="no question"):
            compress(llama, SHORT, method, 0.5)
    with pytest.raises(AnalysisError, match="no answer"):
        compress(llama, SHORT, "gradient", 0.5, question=QUESTION)
    with pytest.raises(TooLongError, match=r"reads at most 2,048"):
        compress(llama, "the hat " * 2000, "first", 0.5)
    with pytest.raises(AnalysisError, match="Not a single sentence fits"):
        compress(llama, TEXT, "first", 0.02, unit="sentence")
    with pytest.raises(ValueError, match="methods are"):
        compress(llama, TEXT, "magic", 0.5)
    with pytest.raises(ValueError, match="unit must be"):
        compress(llama, TEXT, "first", 0.5, unit="page")


def test_an_answer_that_has_no_token_of_its_own_is_refused(llama):
    # Ends with "Q: " so that "Ġ" + answer would be one token: the space belongs to neither.
    with pytest.raises(AnalysisError, match="cannot be tokenized alone"):
        compress(llama, SHORT, "gradient", 0.5, question="Where is ", answer="the hat")
    compress(llama, SHORT, "gradient", 0.5, question="Where is", answer=" the hat")


def test_a_gradient_that_does_not_fit_is_refused(llama, monkeypatch):
    monkeypatch.setattr(gradient, "free_bytes", lambda device: 1000)
    with pytest.raises(OutOfMemoryError, match="gradient over"):
        compress(llama, SHORT, "gradient", 0.5, **ASKED)
    sweep = sweep_compression(llama, SHORT, QUESTION, ANSWER, ["gradient", "first"], [0.5])
    assert "Shorten" in sweep.unavailable["gradient"] and len(sweep.readings) == 1


@pytest.mark.parametrize(
    "method", ["self-information", "gradient", "llmlingua", "attention", "selective-context"]
)
def test_cancelling_leaves_the_model_as_it_was(llama, method):
    def stop(share, what):
        if share > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        compress(llama, TEXT, method, 0.5, **ASKED, on_progress=stop)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.model.modules())
    assert not any(p.requires_grad for p in llama.model.parameters())
    assert all(p.grad is None for p in llama.model.parameters())


def test_every_name_has_its_place():
    assert len(set(METHODS)) == len(METHODS) == 2 * len(SCORERS) + len(CONTROLS)
