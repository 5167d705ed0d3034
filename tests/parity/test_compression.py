"""Scores of prompt compression against plain float64 computations that share no code with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.pruning_effects.compression.compress import compress
from analysis.pruning_effects.compression.reader import Reader
from analysis.pruning_effects.compression.sweep import sweep_compression
from tests import budget
from tests.tiny_models.families import FAMILIES, FAMILIES_EXTRA, tiny_model

TEXT = (
    "The hat is in the hall. A cat sat on it, and he did not see the rat — 猫 and all.\n\n"
    "Then the tin man ran to them, as the hen and the ant in the inn. At ten he is in the tin."
)
QUESTION, ANSWER = "Where is the hat?", "in the hall"
TAIL, HEAD_OF_TAIL = f"\n\n{QUESTION} {ANSWER}", f"\n\n{QUESTION}"
ALL = (*FAMILIES, *FAMILIES_EXTRA)


@pytest.fixture(scope="module")
def exact():
    """Models in float64 with the weights of the tiny ones."""
    made = {}

    def model(family, **more):
        key = (family, *more.items())
        if key not in made:
            made[key] = tiny_model(family, dtype=torch.float64, **more)
        return made[key]

    return model


def ids_of(model, text):
    return model.tokenizer(text, add_special_tokens=False)["input_ids"]


@torch.no_grad()
def losses(reference, ids):
    """-ln p of ids[1:], from the library's logits in float64."""
    logits = reference(input_ids=torch.tensor([ids])).logits[0].double()
    log_probs = logits - logits.logsumexp(-1, keepdim=True)
    return (-log_probs[:-1].gather(1, torch.tensor(ids)[1:, None])[:, 0]).numpy()


@pytest.mark.parametrize("family", ALL)
def test_self_information_of_every_family(load_tiny, exact, family):
    model = load_tiny(family)
    (start,) = Reader(model).anchor
    expected = losses(exact(family), [start, *ids_of(model, TEXT)])
    found = compress(model, TEXT, "self-information", 0.4).scores
    assert np.abs(found - expected).max() < 2e-4
    short = compress(model, TEXT, "self-information", 0.4)
    assert short.n_tokens == len(ids_of(model, short.text)) <= short.budget


@pytest.mark.parametrize("family", ALL)
def test_the_cost_of_every_family(load_tiny, exact, family):
    """NLL of the answer after original, shorter text and nothing; and every method runs."""
    model = load_tiny(family)
    methods = ["selective-context", "longllmlingua", "gradient", "attention", "every nth"]
    sweep = sweep_compression(model, TEXT, QUESTION, ANSWER, methods, [0.4])
    tail, n_answer = ids_of(model, TAIL), len(ids_of(model, f" {ANSWER}"))
    assert not sweep.unavailable and sweep.n_answer == n_answer

    def expected(context):
        return losses(exact(family), [*ids_of(model, context), *tail])[-n_answer:].mean()

    assert abs(sweep.nll_full - expected(TEXT)) < 2e-4
    assert abs(sweep.nll_without - expected("")) < 2e-4
    for reading in sweep.readings:
        assert abs(reading.nll - expected(reading.compressed.text)) < 2e-4


def test_selective_context_reads_each_sentence_alone(llama, exact):
    start, sentences = (
        llama.tokenizer.bos_token_id,
        ["The hat is in the hall.", " A cat — 猫 — sat on it.", "\nHe did."],
    )
    expected = np.concatenate([losses(exact("llama"), [start, *ids_of(llama, s)]) for s in sentences])
    assert [t for s in sentences for t in ids_of(llama, s)] == ids_of(llama, "".join(sentences))
    found = compress(llama, "".join(sentences), "selective-context", 0.5)
    assert np.abs(found.scores - expected).max() < 2e-4
    together = compress(llama, "".join(sentences), "self-information", 0.5)
    assert np.abs(together.scores - expected).max() > 0.1


def engine(text_ids, score, shares, chunk):
    """The iterative engine, written plainly: score a chunk after the kept prefix, keep what is over."""
    prefix, scores, kept = [], [], []
    for begin in range(0, len(text_ids), chunk):
        ids = text_ids[begin : begin + chunk]
        values = score(prefix, ids)
        falling = sorted(values, reverse=True)
        for i, value in enumerate(values):
            share = shares[begin + i]
            threshold = falling[max(0, int(len(ids) * share) - 1)]
            others = np.abs(np.delete(values, int(np.argmin(np.abs(values - threshold)))) - threshold)
            assert others.min() > budget.rounding(values), "another score is as good as the threshold"
            kept.append(bool(value > threshold or share >= 1 or begin + i == 0))
        scores += list(values)
        prefix = [t for t, k in zip(text_ids, kept, strict=False) if k]
    return np.array(scores), np.array(kept)


@pytest.mark.parametrize("kept", [0.5, 0.2])
def test_llmlingua_is_a_plain_loop(llama, exact, monkeypatch, kept):
    from analysis.pruning_effects.compression import llmlingua

    monkeypatch.setattr(llmlingua, "CHUNK", 40)
    ids, start, reference = ids_of(llama, TEXT), llama.tokenizer.bos_token_id, exact("llama")

    def score(prefix, chunk):
        return losses(reference, [start, *prefix, *chunk])[len(prefix) :]

    scores, keep = engine(ids, score, np.full(len(ids), kept), 40)
    found = compress(llama, TEXT, "llmlingua", kept)
    assert np.abs(found.scores - scores).max() < 5e-4
    task_keep = scored(llama, llmlingua.llmlingua, kept).preferred
    assert np.array_equal(task_keep, keep)
    assert not found.keep[~keep].all()


def scored(model, method, kept, **more):
    from analysis.pruning_effects.compression.compress import make_passage

    with model.held("while reading"):
        return method(make_passage(model, TEXT, "token", **more).at(kept, lambda share, what: None))


def test_longllmlingua_is_a_plain_loop(llama, exact, monkeypatch):
    from analysis.pruning_effects.compression import llmlingua, longllmlingua

    monkeypatch.setattr(llmlingua, "CHUNK", 50)
    ids, start, reference = ids_of(llama, TEXT), llama.tokenizer.bos_token_id, exact("llama")
    question = ids_of(llama, f"{QUESTION}\n\n")

    def score(prefix, chunk):
        plain = losses(reference, [start, *prefix, *chunk])[len(prefix) :]
        return plain - losses(reference, [start, *question, *prefix, *chunk])[len(question) + len(prefix) :]

    border = TEXT.index("\n\n")
    documents = [TEXT[:border], TEXT[border:]]
    asked = ids_of(llama, f"\n\n{QUESTION}{longllmlingua._REMINDER}")
    loss = [losses(reference, [start, *ids_of(llama, d), *asked])[-len(asked) :].mean() for d in documents]
    first = len(ids_of(llama, documents[0]))
    best = int(np.argmin(loss))
    shares = np.where((np.arange(len(ids)) < first) == (best == 0), 0.4 + 0.3, 0.4 - 0.3)
    scores, keep = engine(ids, score, shares, 50)
    found = scored(llama, longllmlingua.longllmlingua, 0.4, question=QUESTION)
    assert np.abs(found.values - scores).max() < 1e-3
    assert np.array_equal(found.preferred, keep)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "opt", "granite", "gpt_oss"])
def test_gradient_times_input_by_hand(load_tiny, exact, family):
    """The embedding layer replaced by a leaf tensor, float64, loss written out."""
    model = load_tiny(family)
    reference = exact(family)
    ids = [*ids_of(model, TEXT), *ids_of(model, TAIL)]
    n_answer = len(ids_of(model, f" {ANSWER}"))
    embedding = reference.get_input_embeddings()
    leaf = embedding(torch.tensor([ids])).detach().requires_grad_(True)
    forward = embedding.forward
    embedding.forward = lambda _ids: leaf
    try:
        logits = reference(input_ids=torch.tensor([ids])).logits[0].double()
    finally:
        embedding.forward = forward
    target = torch.tensor(ids)[-n_answer:, None]
    nll = -torch.log_softmax(logits[-n_answer - 1 : -1], -1).gather(1, target).mean()
    nll.backward()
    reference.zero_grad(set_to_none=True)
    expected = (leaf.grad * leaf).sum(-1)[0].abs().detach().numpy()
    found = compress(model, TEXT, "gradient", 0.4, question=QUESTION, answer=ANSWER).scores
    assert np.abs(found - expected[: len(found)]).max() < 1e-3 * expected.max()
    assert not any(p.requires_grad for p in model.model.parameters())


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_attention_received_is_the_mean_of_eager_maps(load_tiny, exact, family):
    model = load_tiny(family)
    reference = exact(family, attn_implementation="eager")
    ids = [model.tokenizer.bos_token_id, *ids_of(model, TEXT), *ids_of(model, HEAD_OF_TAIL)]
    with torch.no_grad():
        maps = torch.stack(reference(input_ids=torch.tensor([ids]), output_attentions=True).attentions)[:, 0]
    n = len(ids)
    config = reference.config
    rows = []
    for layer, attention in enumerate(maps.numpy()):
        kinds = getattr(config, "layer_types", None)
        window = config.sliding_window if kinds and kinds[layer] == "sliding_attention" else n
        seen = np.minimum(n - np.arange(n), window)
        rows.append(attention.sum(1) / seen)
    expected = np.stack(rows).mean((0, 1))[1:]
    found = compress(model, TEXT, "attention", 0.4, question=QUESTION).scores
    assert np.abs(found - expected[: len(found)]).max() < 1e-5
    assert expected[: len(found)].max() < 0.9 * np.stack(rows).mean((0, 1))[0] or family != "llama"


@pytest.mark.embedded
def test_the_fact_is_found_by_who_knows_the_answer(smollm2):
    """On a real model: the gradient keeps the sentence that holds the answer, its bottom loses it."""
    from app.panels.pruning_effects.compression.help import ANSWER, CONTEXT, QUESTION

    paragraph = CONTEXT.split("\n\n")[1]
    methods = ["gradient", "bottom gradient"]
    sweep = sweep_compression(smollm2, paragraph, QUESTION, ANSWER, methods, [0.3], unit="word")
    frame = sweep.to_frame().set_index("method")["delta_nll"]
    assert sweep.nll_without - sweep.nll_full > 3
    assert frame["gradient"] < 2 < frame["bottom gradient"]
    assert "Holloway" in sweep.find("gradient", 0.3).text
