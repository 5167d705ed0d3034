"""What rules need of a model beyond the stored numbers, against the library's own outputs."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch

import analysis as an
from analysis.errors import AnalysisError, Cancelled, TooLongError
from analysis.writing.answer_entropy import self_certainty
from analysis.writing.layer_divergence import jensen_shannon, layer_divergence
from analysis.writing.rules.cntp import cautious_trials, warped_entropy
from analysis.writing.rules.deep_thinking import NOT_STORED, deep_thinking
from analysis.writing.whole_distributions import from_states
from tests.budget import rounding

TEXT = "The cat sat on the mat and looked at the sea."


def test_jensen_shannon_of_known_pairs():
    p = torch.tensor([[0.5, 0.5, 0], [1, 0, 0], [0.2, 0.3, 0.5]])
    q = torch.tensor([[0.5, 0.5, 0], [0, 1, 0], [0.5, 0.5, 0]])
    m = (np.array([0.2, 0.3, 0.5]) + np.array([0.5, 0.5, 0])) / 2
    last = (
        sum(a * log(a / b) for a, b in zip([0.2, 0.3, 0.5], m, strict=True))
        + log(0.5 / 0.35) / 2
        + log(0.5 / 0.4) / 2
    ) / 2
    assert jensen_shannon(p, q).numpy() == pytest.approx([0, log(2), last], abs=1e-6)


def test_layers_against_the_librarys_states(llama):
    trace = an.trace(llama, TEXT)
    found = layer_divergence(llama, trace.tokens.token_id)
    ids = torch.from_numpy(trace.tokens.token_id)[None]
    with llama.lock, torch.inference_mode():
        out = llama.model(input_ids=ids, output_hidden_states=True)
        norm, head = llama.model.model.norm, llama.model.lm_head
        states = [*[norm(s) for s in out.hidden_states[1:-1]], out.hidden_states[-1]]  # the last comes normed
        probs = [head(s)[0].double().softmax(-1) for s in states]
    want = np.stack([jensen_shannon(probs[-1], p).numpy() for p in probs])
    assert found.shape == (len(llama.anatomy.layers), len(trace.tokens)) and np.isnan(found[:, 0]).all()
    assert found[:, 1:] == pytest.approx(want[:, :-1], abs=rounding(out.logits))
    assert (found[0, 1:] > 0).all() and found[-1, 1:] == pytest.approx(0, abs=rounding(out.logits))
    settled = deep_thinking(found, threshold=float(np.nanmedian(found[0])))
    assert 0 < (settled.layer == 1).sum() < len(trace.tokens) - 1 and settled.layer[0] == 0
    assert trace.layers.lens_kl is None and "Jensen-Shannon" in NOT_STORED


def test_whole_distributions_from_kept_states(llama):
    trace = an.trace(llama, TEXT)
    tokens, states = trace.tokens, trace.final_states
    with llama.lock, torch.inference_mode():
        logits = llama.model(input_ids=torch.from_numpy(tokens.token_id)[None]).logits[0].double()
    log_probs = logits.log_softmax(-1).numpy()
    near = rounding(logits)
    assert from_states(llama, states, self_certainty) == pytest.approx(
        self_certainty(log_probs), abs=4 * near
    )
    warped = from_states(llama, states, warped_entropy)
    assert warped == pytest.approx(warped_entropy(log_probs), abs=4 * near)
    about = np.concatenate([[np.nan], warped[:-1]])
    exact = cautious_trials(tokens.top_logprobs, tokens.text, about)
    bounds = cautious_trials(tokens.top_logprobs, tokens.text)
    known = bounds.least == bounds.most
    assert exact.n_unknown == 0 and (exact.trials[known] == bounds.trials[known]).all()
    assert (bounds.least <= exact.trials).all() and (exact.trials <= bounds.most).all()


def test_what_is_missing_is_said(llama):
    for wrong in (
        lambda: from_states(llama, None, self_certainty),
        lambda: from_states(llama, np.zeros((1, 3), np.float32), self_certainty),
        lambda: layer_divergence(llama, np.array([1])),
    ):
        with pytest.raises(AnalysisError) as raised:
            wrong()
        assert raised.value.hint
    with pytest.raises(TooLongError):
        layer_divergence(llama, np.zeros(llama.info.context_length + 1, np.int64))


def test_it_stops_when_asked(llama):
    def stop(_share, _what):
        raise Cancelled

    with pytest.raises(Cancelled):
        layer_divergence(llama, np.array([1, 2, 3]), stop)
    assert llama.lock.acquire(timeout=1)
    llama.lock.release()
