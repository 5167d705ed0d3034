"""Attention inside a whole run: what is measured, what is hidden, and when it is not available."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from torch import nn

import analysis as an
from analysis.errors import AnalysisError, Cancelled
from analysis.forward import attention_probe, attention_support, recorder
from analysis.forward.visibility import Visibility
from tests import budget

TEXT = "The cat sat on the mat, and 🙂 the dog ran to the river in the morning."
FAMILIES = ("llama", "qwen3", "mistral", "gemma2", "gpt2", "gpt_oss")


@pytest.fixture(scope="module")
def run(llama):
    return an.trace(llama, TEXT)


def hide_first(n, first_query=1):
    hidden = np.zeros(n, bool)
    hidden[0] = True
    return Visibility(hidden=hidden, first_query=first_query)


# What is measured -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_what_keys_receive_is_what_rows_give(load_tiny, family):
    """All of a row's mass lands on some key: sums over queries and over keys are the same number."""
    run = an.trace(load_tiny(family), TEXT)
    attention, n = run.attention, run.spec.n_tokens
    assert attention is not None and run.unavailable == {}
    given = (attention.received.astype(float) * attention.seen_by()[:, None, :]).sum(-1)
    if attention.learned_sink is None:
        np.testing.assert_allclose(given, n, rtol=1e-5)
    else:  # row 0 is not in the mean of the learned sink
        rows_1_on = (n - 1) * (1 - attention.learned_sink.astype(float))
        assert (given > rows_1_on).all() and (given < rows_1_on + 1).all()
    assert (attention.entropy >= -1e-5).all() and (attention.entropy[:, :, 0] < 1e-5).all()
    visible = np.minimum(np.arange(n) + 1, np.where(attention.window > 0, attention.window, n)[:, None])
    assert (attention.entropy <= np.log(visible)[:, None] + 1e-5).all()
    assert ((attention.distance >= 0) & (attention.distance < n)).all()
    assert all(check.passed for check in run.checks)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3"])
def test_sink_mass_leaves_out_query_0_and_received_does_not(load_tiny, family):
    """Query 0 sees key 0 alone, with weight 1: T received = (T - 1) mass + 1."""
    run = an.trace(load_tiny(family), TEXT)
    n, attention = run.spec.n_tokens, run.attention
    np.testing.assert_allclose(n * attention.received[:, :, 0], (n - 1) * attention.sink_mass + 1, rtol=1e-5)


def test_sizes_and_heads(llama, run):
    attention, n = run.attention, run.spec.n_tokens
    assert attention.entropy.shape == attention.received.shape == (2, 4, n)
    assert attention.value_norm.shape == attention.key_norm.shape == (2, 2, n)
    assert attention.learned_sink is None and attention.window.tolist() == [0, 0]
    assert [attention.kv_head(h) for h in range(4)] == [0, 0, 1, 1]


def test_the_learned_sink_is_its_own_number(load_tiny):
    attention = an.trace(load_tiny("gpt_oss"), TEXT).attention
    assert attention.learned_sink.shape == attention.sink_mass.shape
    assert ((attention.learned_sink > 0) & (attention.learned_sink < 1)).all()
    assert (attention.learned_sink + attention.sink_mass <= 1 + 1e-6).all()


def test_windows_of_layers_are_named(load_tiny):
    run = an.trace(load_tiny("gemma2"), TEXT * 2)
    assert set(run.attention.window.tolist()) == {0, 32} and run.spec.n_tokens > 40


def test_measuring_changes_nothing(llama, run):
    plain = an.trace(llama, TEXT, attention=False)
    np.testing.assert_allclose(plain.tokens.surprisal[1:], run.tokens.surprisal[1:], atol=1e-4)
    np.testing.assert_allclose(plain.tokens.entropy[1:], run.tokens.entropy[1:], atol=1e-4)
    np.testing.assert_allclose(plain.layers.residual_norm, run.layers.residual_norm, rtol=1e-5)


@pytest.mark.parametrize("n", [2, 3, 17])
def test_short_texts(llama, n):
    run = an.trace(llama, "\x01" * n)
    assert run.attention.entropy.shape[2] == n and np.isfinite(run.attention.sink_mass).all()


# Not available ----------------------------------------------------------------------------------------


def test_windows_have_no_attention_and_say_so(llama):
    run = an.trace(llama, TEXT, window=17, stride=5)
    assert run.attention is None and "windows" in run.unavailable["attention"]
    whole = an.trace(llama, "short", window=500, stride=5)  # one window is a whole text
    assert whole.attention is not None


def test_a_run_without_attention_says_so(llama):
    run = an.trace(llama, TEXT, attention=False)
    assert run.attention is None and run.unavailable["attention"]


def bypass(model):
    """Attention that never asks the library's interface."""

    def forward(self, hidden_states, *args, **kwargs):
        return self.o_proj(self.q_proj(hidden_states)), None

    for layer in model.model.model.layers:
        layer.self_attn.forward = types.MethodType(forward, layer.self_attn)


def test_a_model_that_goes_its_own_way_says_so_and_the_rest_is_right(fresh_llama):
    bypass(fresh_llama)
    run = an.trace(fresh_llama, TEXT, lens=True)
    assert run.attention is None and "LlamaAttention" in run.unavailable["attention"]
    plain = an.trace(fresh_llama, TEXT, lens=True, attention=False)
    np.testing.assert_array_equal(run.tokens.surprisal, plain.tokens.surprisal)
    np.testing.assert_array_equal(run.layers.lens_entropy, plain.layers.lens_entropy)
    assert len(run.checks) == 3 and all(check.passed for check in run.checks)
    with pytest.raises(AnalysisError) as caught:
        an.trace(fresh_llama, TEXT, visibility=Visibility(window=4))
    assert "hidden" in caught.value.message and "LlamaAttention" in caught.value.message


def test_one_layer_that_goes_its_own_way(fresh_llama):
    class Zero(nn.Module):
        def forward(self, hidden_states, *args, **kwargs):
            return torch.zeros_like(hidden_states), None

    fresh_llama.model.model.layers[1].self_attn = Zero()
    run = an.trace(fresh_llama, TEXT)
    assert run.attention.layer_numbers.tolist() == [0] and len(run.attention.entropy) == 1
    assert "Layer 1 does not attend" in run.unavailable["attention of other layers"]
    assert run.attention.row_of(0) == 0
    with pytest.raises(ValueError, match="layer 1 has no"):
        run.attention.row_of(1)


def off_by(share):
    """Attention whose output is a little larger than it should be."""
    right = recorder.attend_call

    def wrong(*args, **options):
        attended = right(*args, **options)
        attended.output.mul_(1 + share)
        return attended

    return wrong


def test_attention_that_differs_from_the_library_s_is_not_shown(fresh_llama, monkeypatch):
    monkeypatch.setattr(recorder, "attend_call", off_by(0.01))
    run = an.trace(fresh_llama, TEXT)
    assert run.attention is None and "last rows differ" in run.unavailable["attention"]
    assert np.isfinite(run.tokens.surprisal[1:]).all()


def test_the_probe_runs_once_a_model(fresh_llama, monkeypatch):
    calls, probe = [], attention_probe._probe
    monkeypatch.setattr(attention_probe, "_probe", lambda *args: (calls.append(1), probe(*args))[1])
    assert attention_support.known_support(fresh_llama) is None
    for _ in range(3):
        an.trace(fresh_llama, TEXT)
    assert len(calls) == 1 and 0 <= attention_support.known_support(fresh_llama).error < 1e-5
    an.trace(fresh_llama, TEXT, attention=False)
    assert len(calls) == 1


# What is hidden ---------------------------------------------------------------------------------------


def test_a_hidden_first_token_gets_nothing_from_later_queries(llama, run):
    n = run.spec.n_tokens
    hidden = an.trace(llama, TEXT, visibility=hide_first(n))
    np.testing.assert_array_equal(hidden.attention.sink_mass, 0)
    np.testing.assert_allclose(hidden.attention.received[:, :, 0] * n, 1, rtol=1e-6)  # query 0 sees itself
    assert (run.attention.sink_mass > 0).all()
    assert np.abs(hidden.tokens.surprisal[2:] - run.tokens.surprisal[2:]).max() > 1e-3
    assert hidden.tokens.surprisal[1] == pytest.approx(
        run.tokens.surprisal[1], abs=budget.rounding_in(llama, TEXT)
    )


def test_earlier_queries_see_as_before(llama, run):
    hidden = an.trace(llama, TEXT, visibility=hide_first(run.spec.n_tokens, first_query=10))
    near = budget.rounding_in(llama, TEXT)
    np.testing.assert_allclose(hidden.tokens.surprisal[1:11], run.tokens.surprisal[1:11], atol=near, rtol=0)
    np.testing.assert_allclose(
        hidden.attention.entropy[:, :, :10], run.attention.entropy[:, :, :10], atol=1e-5
    )
    assert np.abs(hidden.tokens.surprisal[11:] - run.tokens.surprisal[11:]).max() > 1e-3


def test_a_window_that_covers_the_text_hides_nothing(llama, run):
    same = an.trace(llama, TEXT, visibility=Visibility(window=run.spec.n_tokens))
    near = budget.rounding_in(llama, TEXT)
    np.testing.assert_allclose(same.tokens.surprisal[1:], run.tokens.surprisal[1:], atol=near, rtol=0)
    narrow = an.trace(llama, TEXT, visibility=Visibility(window=1))
    np.testing.assert_allclose(narrow.attention.entropy, 0, atol=1e-6)
    np.testing.assert_allclose(narrow.attention.distance, 0, atol=1e-5)


def test_a_silenced_head_changes_the_output_from_its_layer_on(llama, run):
    quiet = an.trace(llama, TEXT, visibility=Visibility(silenced=frozenset({(1, 2)})))
    before, after = quiet.layers.residual_norm[:2], run.layers.residual_norm[:2]
    np.testing.assert_allclose(before, after, rtol=budget.STATES)
    assert np.abs(quiet.layers.residual_norm[2] - run.layers.residual_norm[2]).max() > 1e-3
    assert np.abs(quiet.tokens.surprisal[1:] - run.tokens.surprisal[1:]).max() > 1e-3
    np.testing.assert_allclose(quiet.attention.sink_mass, run.attention.sink_mass, atol=1e-6)


def test_silencing_every_head_leaves_no_attention(llama):
    """What tokens say to one another is gone: equal tokens end in equal states."""
    every = frozenset((layer, head) for layer in range(2) for head in range(4))
    run = an.trace(llama, "\x01" * 9, visibility=Visibility(silenced=every))
    alike = np.broadcast_to(run.final_states[:1], run.final_states.shape)
    np.testing.assert_allclose(run.final_states, alike, atol=budget.STATES * budget.largest(alike), rtol=0)


def test_the_spec_says_what_was_hidden(llama, run):
    n = run.spec.n_tokens
    assert run.spec.visibility == ""
    spec = an.trace(llama, TEXT, visibility=hide_first(n)).spec
    assert "tokens 0 hidden from query 1 on" in spec.visibility and spec.visibility in spec.subtitle
    both = Visibility(window=8, n_sink=2, silenced=frozenset({(1, 2), (0, 3)}))
    said = an.trace(llama, TEXT, visibility=both).spec.visibility
    assert "first 2 and last 8 tokens" in said and "heads 0.3, 1.2 silenced" in said


@pytest.mark.parametrize("options", [{"attention": False}, {"window": 17, "stride": 5}])
def test_nothing_can_be_hidden_where_attention_is_not_measured(llama, options):
    with pytest.raises(AnalysisError, match="Nothing can be hidden"):
        an.trace(llama, TEXT, visibility=Visibility(window=4), **options)


# What is left behind ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["layer 0/2", "layer 1/2", "layer 2/2", "vocabulary head"])
def test_the_model_s_own_attention_is_back_after_a_stop(llama, words):
    before = llama.model.config._attn_implementation

    def stop(_share, what):
        if words in what:
            raise Cancelled

    with pytest.raises(Cancelled):
        an.trace(llama, TEXT, on_progress=stop)
    assert llama.model.config._attn_implementation == before
    assert {m.config._attn_implementation for m in llama.model.modules() if hasattr(m, "config")} == {before}


def test_a_stop_in_the_first_run_leaves_the_probe_to_the_next(fresh_llama):
    def stop(_share, _what):
        raise Cancelled

    with pytest.raises(Cancelled):
        an.trace(fresh_llama, TEXT, on_progress=stop)
    assert an.trace(fresh_llama, TEXT).attention is not None
