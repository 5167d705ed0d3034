"""A text read in windows: every token scored once, each by a pass of its own window."""

from __future__ import annotations

import re

import numpy as np
import pytest

import analysis as an
from analysis.errors import TooLongError
from analysis.forward.windows import plan_windows
from analysis.models.tokenization import encode
from tests.tiny_models.tokenizer import BOS_ID

TEXT = "The cat sat on the mat, and 🙂 the dog ran to the river in the morning; it was not there. " * 2
SIZES = [(40, 20), (40, 1), (40, 38), (17, 5), (64, 63), (2, 1), (3, 1)]


@pytest.fixture(scope="module")
def reference(tiny_folder):
    """The library's own model; asking for hidden states leaves hooks on it, so not the shared one."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_folder("llama")).eval()


def planned(model, text, window, stride, bos="never"):
    tokens = encode(model.tokenizer, text, bos=bos)
    return tokens, plan_windows(model, tokens, window, stride)


@pytest.mark.parametrize(
    ("window", "stride", "bos"),
    # a window with a lead takes a smaller stride
    [(w, s, bos) for bos in ("never", "always") for w, s in SIZES if bos == "never" or s <= w - 2],
)
def test_every_token_is_scored_once_with_enough_before_it(llama, window, stride, bos):
    tokens, windows = planned(llama, TEXT, window, stride, bos)
    n = len(tokens)
    rows = np.concatenate([np.arange(w.rows.start, w.rows.stop) for w in windows])
    assert rows.tolist() == list(range(n))
    seen = np.concatenate([np.arange(w.seen.start, w.seen.stop) for w in windows])
    assert seen.tolist() == list(range(n))
    for number, w in enumerate(windows):
        assert len(w.positions) <= window
        assert w.positions[w.local_rows].tolist() == list(range(w.rows.start, w.rows.stop))
        assert w.positions[w.local_seen].tolist() == list(range(w.seen.start, w.seen.stop))
        if number:
            assert w.local_rows.start + 1 >= window - stride
            assert w.positions[1] == number * stride + 1
            assert w.positions[0] == (0 if bos == "always" else number * stride)
    assert all(len(w.positions) == window for w in windows[:-1])


def test_a_text_that_fits_is_one_window(llama):
    tokens, windows = planned(llama, "short text", None, None)
    assert len(windows) == 1 and windows[0].positions.tolist() == list(range(len(tokens)))
    run = an.trace(llama, "short text", window=len(tokens), stride=1)
    assert run.spec.window is None and run.spec.stride is None
    assert run.tokens.context.tolist() == list(range(len(tokens)))


@pytest.mark.parametrize(("window", "stride"), [(40, 20), (40, 38), (17, 5)])
@pytest.mark.parametrize("bos", ["never", "always"])
def test_values_are_those_of_the_window_alone(llama, reference, window, stride, bos):
    """The window's tokens, run as a text of their own, give the same numbers."""
    tokens, windows = planned(llama, TEXT, window, stride, bos)
    whole = an.trace(llama, TEXT, window=window, stride=stride, bos=bos, lens=True, top_k=5)
    assert (whole.spec.window, whole.spec.stride) == (window, stride)
    assert whole.tokens.context[1:].min() >= 1 and whole.tokens.context[0] == 0
    import torch

    for w in windows:
        ids = torch.from_numpy(tokens.token_id[w.positions])[None]
        with torch.inference_mode():
            out = reference(input_ids=ids, output_hidden_states=True, use_cache=False)
        lp = out.logits[0].double().log_softmax(-1).numpy()
        entropy = -(np.exp(lp) * lp).sum(-1)
        for local in range(w.local_rows.start, w.local_rows.stop):
            row = w.rows.start + local - w.local_rows.start
            t = row + 1
            if t == len(tokens):
                assert whole.next.entropy == pytest.approx(entropy[local], abs=1e-4)
                continue
            assert whole.tokens.entropy[t] == pytest.approx(entropy[local], abs=1e-4)
            assert whole.tokens.surprisal[t] == pytest.approx(-lp[local, tokens.token_id[t]], abs=1e-4)
            assert whole.tokens.context[t] == local + 1
            assert whole.layers.lens_entropy[-1, t] == pytest.approx(entropy[local], abs=1e-4)
        norms = out.hidden_states[1][0].norm(dim=-1).numpy()
        np.testing.assert_allclose(whole.layers.residual_norm[1, w.seen], norms[w.local_seen], rtol=1e-4)
    assert all(check.passed for check in whole.checks)


def test_a_later_window_forgets(llama):
    """Reading in windows changes the numbers, or the test above would pass on a single pass."""
    whole = an.trace(llama, TEXT)
    windowed = an.trace(llama, TEXT, window=17, stride=5)
    np.testing.assert_allclose(windowed.tokens.entropy[1:17], whole.tokens.entropy[1:17], atol=1e-4)
    assert np.abs(windowed.tokens.entropy[17:] - whole.tokens.entropy[17:]).max() > 0.05
    assert windowed.tokens.context.max() == 16


def test_a_lead_is_seen_by_every_window(llama):
    """With a beginning-of-text token the later windows differ from those without."""
    with_lead = an.trace(llama, TEXT, window=17, stride=5, bos="always")
    _, windows = planned(llama, TEXT, 17, 5, "always")
    assert all(w.positions[0] == 0 for w in windows)
    assert with_lead.tokens.token_id[0] == BOS_ID
    # A <s> that is part of the text is no lead.
    _, literal = planned(llama, "<s>" + TEXT, 17, 5, "auto")
    assert literal[1].positions[0] == 5


def refusal(model, text=TEXT, **options):
    with pytest.raises(TooLongError) as caught:
        an.trace(model, text, **options)
    assert caught.value.message and caught.value.hint
    return caught.value


def test_a_text_longer_than_the_context_is_refused_with_both_numbers(llama):
    text = "x " * 3000
    n = len(encode(llama.tokenizer, text))
    error = refusal(llama, text)
    assert f"{n:,}" in error.message and "2,048" in error.message and "windows" in error.hint
    run = an.trace(llama, text, stride=1024)
    assert run.spec.window == 2048 and len(run.tokens) == n and (run.tokens.rank[1:] > 0).all()


def test_a_window_longer_than_the_context_is_refused(llama):
    error = refusal(llama, window=4000)
    assert "4,000" in error.message and "2,048" in error.message and "2,048" in error.hint


@pytest.mark.parametrize(
    ("window", "stride", "bos", "most"),
    [(40, 40, "never", 39), (40, 0, "never", 39), (40, -3, "never", 39), (40, 39, "always", 38)],
)
def test_strides_have_limits(llama, window, stride, bos, most):
    error = refusal(llama, window=window, stride=stride, bos=bos)
    assert f"{stride:,}" in error.message and f"{window:,}" in error.message
    assert re.search(rf"1 to {most}\b", error.hint)
    an.trace(llama, TEXT, window=window, stride=most, bos=bos)


@pytest.mark.parametrize(("window", "bos"), [(1, "never"), (0, "never"), (-5, "never"), (2, "always")])
def test_a_window_too_small_to_predict_in_is_refused(llama, window, bos):
    error = refusal(llama, window=window, stride=1, bos=bos)
    assert f"{window:,}" in error.message
    assert re.search(rf"at least {3 if bos == 'always' else 2}\b", error.hint)
