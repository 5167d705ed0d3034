"""Every family writes and goes elsewhere as it reads: step by step against one plain pass of the library."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import analysis as an
from analysis.kv_cache.stream import cache_kind
from analysis.models.stops import drawable_ids
from analysis.writing.results import Prompt
from tests import budget
from tests.tiny_models.families import FAMILIES, FAMILIES_EXTRA, WINDOW, tiny_model
from tests.tiny_models.unusual import CONFIGS, language_model, unusual_model

pytestmark = pytest.mark.filterwarnings("ignore")  # the library announces its slower reference kernels
TEXT = "The cat sat on the mat, and the dog"
ALL = (*FAMILIES, *FAMILIES_EXTRA, *CONFIGS)
REREAD = ("bamba", "nemotron_h", "zamba2", "minimax", "recurrent_gemma", "rwkv")
"""Families that keep something beside the library's common cache, or go on after it in another way."""
COPIED = (
    *("qwen3_next", "qwen3_5_text", "olmo_hybrid", "falcon_h1", "zaya", "lfm2", "lfm3", "granitemoehybrid"),
    *("jamba", "mamba", "falcon_mamba", "mamba2"),
)
AMPLIFIED = COPIED
"""Recurrences amplify roundings: granitemoehybrid's own float32 pass is 9e-5 nats from float64 in one of 4 tokens."""
DRAWN = (("temperature", 1.0),)


@pytest.fixture(scope="module")
def models():
    made = {}

    def get(name):
        if name not in made:
            made[name] = language_model(unusual_model(name) if name in CONFIGS else tiny_model(name), name)
        return made[name]

    return get


def library(model, path):
    """Log-probabilities (T, V), float64, of one plain pass, and what float32 may be off by."""
    with torch.inference_mode():
        logits = model.model(input_ids=torch.from_numpy(path)[None], use_cache=False).logits[0].double()
    wide = budget.WIDE * (budget.PLAINLY if model.info.name in AMPLIFIED else 1)
    return logits.log_softmax(-1).numpy(), wide * budget.rounding(logits)


def assert_as_read(model, w, number):
    """Numbers of a branch's own tokens, those after its end, and the order of its alternatives."""
    branch, path = w.branches[number], w.path(number)
    log_probs, near = library(model, path)
    rows = log_probs[branch.at - 1 : len(path) - 1]
    entropy = -(np.exp(log_probs) * log_probs).sum(-1)
    numbers = branch.numbers
    np.testing.assert_allclose(numbers.entropy, entropy[branch.at - 1 : -1], atol=near)
    np.testing.assert_allclose(numbers.surprisal, -rows[np.arange(len(rows)), branch.ids], atol=near)
    varentropy = (np.exp(rows) * (rows - (np.exp(rows) * rows).sum(-1, keepdims=True)) ** 2).sum(-1)
    assert (abs(numbers.varentropy - varentropy) <= budget.of_varentropy(varentropy, near) + near).all()
    np.testing.assert_allclose(numbers.top_logprobs, -np.sort(-rows)[:, :10], atol=near)
    assert branch.after.entropy == pytest.approx(entropy[-1], abs=near)
    np.testing.assert_allclose(np.take_along_axis(rows, numbers.top_ids, -1), numbers.top_logprobs, atol=near)


@pytest.mark.parametrize("name", ALL)
def test_a_family_writes_and_branches_as_it_reads(models, name):
    model = models(name)
    kind = cache_kind_of(model)
    assert kind == ("none" if name in REREAD else "copied" if name in COPIED else "shared")
    prompt = Prompt(TEXT, tuple(model.tokenizer(TEXT)["input_ids"]))
    w = an.write(model, prompt, n_new=WINDOW, samplers=DRAWN, seed=1)
    n = len(w.prompt.ids)
    assert len(w.path()) > WINDOW + 8
    assert_as_read(model, w, 0)
    w = an.branch(model, w, at=n + 6, token=int(w.branches[0].numbers.top_ids[6, 1]), n_new=WINDOW)
    w = an.branch(model, w, of=0, at=len(w.path(0)), n_new=3)
    assert_as_read(model, w, 1)
    assert_as_read(model, w, 2)
    assert_as_read(model, an.go_on(model, w, of=0, n_new=3), 0)
    assert ("read" in " ".join(w.notes)) == (kind != "shared")
    s = an.write_samples(model, prompt, 3, n_new=6, seed=1).writing
    assert s.path(0).tolist() == w.path(0)[: n + 6].tolist()
    for number in range(3):
        assert_as_read(model, s, number)
    found = an.what_if(model, w, of=0, at=n + 3, k=2, n_new=3)
    for number in (3, 4):
        assert_as_read(model, found, number)


def cache_kind_of(model):
    with model.lock, torch.inference_mode():
        return cache_kind(model).name


@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_ids_are_those_of_generate(models, name):
    model = models(name)
    ids = model.tokenizer(TEXT)["input_ids"]
    w = an.write(model, Prompt(TEXT, tuple(ids)), n_new=24)
    padding = list(range(drawable_ids(model), model.info.vocab_size))
    with torch.inference_mode():
        whole = model.model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
            max_new_tokens=24,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            suppress_tokens=padding,
        )[0]
    path = w.path()
    differs = np.flatnonzero(path != whole.numpy())
    if len(differs):  # only where two tokens tie
        at = int(differs[0])
        log_probs, near = library(model, path[:at])
        assert abs(log_probs[-1, path[at]] - log_probs[-1, int(whole[at])]) <= near


def test_the_embedded_model_writes_as_generate_does_and_as_it_reads(smollm2):
    turns = [{"role": "user", "content": "Name three fruits and say why 日本 is an island."}]
    w = an.write(smollm2, turns, n_new=64)
    with torch.inference_mode():
        whole = smollm2.model.generate(
            torch.tensor([w.prompt.ids]),
            max_new_tokens=64,
            do_sample=False,
            attention_mask=None,
            pad_token_id=2,
        )[0].tolist()
    assert w.path().tolist() == whole
    n = len(w.prompt.ids)
    w = an.branch(
        smollm2, w, at=n + 9, token=" sea", n_new=24, samplers=(("temperature", 1.0), ("min-p", 0.02))
    )
    assert w.text().count(" sea") >= 1 and w.branches[1].forced == 1
    for number in range(2):
        w = an.check_written(smollm2, w, number)
        assert all(check.passed for check in w.branches[number].checks), w.branches[number].checks
    run = an.trace_written(smollm2, w)
    tokens = w.tokens()
    assert run.text == w.text() and run.tokens.cell_text == tokens.cell_text
    assert np.array_equal(run.tokens.start, tokens.start) and run.tokens.text == tokens.text
    np.testing.assert_allclose(run.tokens.entropy[1:], tokens.entropy[1:], atol=1e-4)
    np.testing.assert_allclose(run.tokens.surprisal[1:], tokens.surprisal[1:], atol=1e-4)
    assert run.attention is not None and "".join(tokens.cell_text) == w.text()
