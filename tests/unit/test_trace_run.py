"""One run from the outside: the shift, closed forms, progress, stopping, sharing."""

from __future__ import annotations

import math
import threading
from contextlib import AbstractContextManager
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import analysis as an
from analysis.errors import Cancelled, InvalidTextError
from analysis.forward import run as run_module
from analysis.forward import trace as trace_module
from tests import budget

TEXT = "The cat sat on the mat, and 🙂 the dog ran to the river in the morning."


def no_hooks(model):
    return not any(
        m._forward_hooks or m._forward_pre_hooks or m._forward_hooks_with_kwargs
        for m in model.model.modules()
    )


def is_free(lock):
    """Whether another thread can take a re-entrant lock now."""
    got = []

    def take():
        got.append(lock.acquire(blocking=False))
        if got[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return got[0]


def assert_same(a, b):
    """Bit for bit, every array and value but the times."""
    for part in ("tokens", "layers", "next", "attention"):
        if getattr(a, part) is None:
            assert getattr(b, part) is None, part
            continue
        for field in fields(getattr(a, part)):
            x, y = getattr(getattr(a, part), field.name), getattr(getattr(b, part), field.name)
            if isinstance(x, np.ndarray):
                assert x.dtype == y.dtype and x.tobytes() == y.tobytes(), f"{part}.{field.name}"
            else:
                assert x == y, f"{part}.{field.name}"
    assert a.spec == b.spec and a.text == b.text and a.unavailable == b.unavailable
    assert a.final_states.tobytes() == b.final_states.tobytes()


@pytest.fixture(scope="module")
def run(llama):
    return an.trace(llama, TEXT, lens=True)


# The shift --------------------------------------------------------------------------------------------


def test_entry_0_has_no_context(run):
    tokens = run.tokens
    for name in ("surprisal", "entropy", "varentropy", "max_prob"):
        values = getattr(tokens, name)
        assert np.isnan(values[0]) and np.isfinite(values[1:]).all(), name
    assert tokens.rank[0] == 0 and (tokens.rank[1:] >= 1).all()
    assert (tokens.top_ids[0] == -1).all() and np.isnan(tokens.top_logprobs[0]).all()
    assert tokens.context[0] == 0 and not tokens.has_context[0] and tokens.has_context[1:].all()
    assert tokens.to_frame()["first_choice"][0] == ""


def head_that_says(model, weight, bias=None):
    """Give a tiny model a head of known logits: only the bias speaks when the weight is 0."""
    head = model.model.lm_head
    with torch.no_grad():
        head.weight.copy_(weight)
    if bias is not None:
        head.bias = torch.nn.Parameter(bias, requires_grad=False)
    from analysis.models.anatomy import find_anatomy

    model.anatomy = find_anatomy(model.model)
    return model


def test_a_uniform_head(fresh_llama):
    model = head_that_says(fresh_llama, torch.zeros(320, 64))
    run = an.trace(model, TEXT, lens=True)
    near = budget.rounding(math.log(320))
    np.testing.assert_allclose(run.tokens.entropy[1:], math.log(320), atol=near, rtol=0)
    np.testing.assert_allclose(run.tokens.surprisal[1:], math.log(320), atol=near, rtol=0)
    np.testing.assert_allclose(run.tokens.varentropy[1:], 0, atol=budget.of_varentropy(0, near))
    np.testing.assert_allclose(run.tokens.max_prob[1:], 1 / 320, rtol=1e-5)
    assert (run.tokens.rank[1:] == 1).all()  # nothing is strictly better
    np.testing.assert_allclose(run.layers.lens_kl[:, 1:], 0, atol=near)
    assert run.next.entropy == pytest.approx(math.log(320), abs=near)


def test_a_head_that_is_sure(fresh_llama):
    """A one-hot distribution has entropy 0, not NaN, and every other token a large finite surprisal."""
    peak = torch.zeros(320)
    peak[77] = 5e4
    model = head_that_says(fresh_llama, torch.zeros(320, 64), peak)
    run = an.trace(model, TEXT, lens=True)
    assert (run.tokens.entropy[1:] == 0).all() and (run.tokens.varentropy[1:] == 0).all()
    assert (run.tokens.max_prob[1:] == 1).all() and (run.tokens.top_ids[1:, 0] == 77).all()
    other = run.tokens.token_id[1:] != 77
    assert np.isfinite(run.tokens.surprisal[1:]).all() and (run.tokens.surprisal[1:][other] > 1000).all()
    assert (run.tokens.rank[1:][other] == 2).all() and (run.tokens.rank[1:][~other] == 1).all()
    assert np.isfinite(run.layers.lens_kl[:, 1:]).all()


def test_impossible_tokens_do_no_harm(fresh_llama):
    """Logits of -inf mask a token; 0 times infinity must not come out."""
    mask = torch.full((320,), float("-inf"))
    mask[[40, 41]] = torch.tensor([0.0, math.log(3.0)])
    head = fresh_llama.anatomy.head
    from dataclasses import replace

    fresh_llama.anatomy = replace(
        fresh_llama.anatomy, head=replace(head, weight=torch.zeros(320, 64), bias=mask)
    )
    run = an.trace(fresh_llama, TEXT, lens=True)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    varentropy = 0.25 * 0.75 * math.log(3) ** 2  # of a coin
    np.testing.assert_allclose(run.tokens.entropy[1:], entropy, atol=1e-6)
    np.testing.assert_allclose(run.tokens.varentropy[1:], varentropy, atol=1e-6)
    np.testing.assert_allclose(run.layers.lens_kl[:, 1:], 0, atol=1e-6)


def test_the_shift_is_by_one(fresh_llama):
    """A head that names the last token read: entry t must speak of token t - 1."""
    with torch.no_grad():
        for layer in fresh_llama.model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        fresh_llama.model.model.norm.weight.fill_(1.0)
        embedding = torch.nn.functional.normalize(fresh_llama.model.model.embed_tokens.weight, dim=-1)
        fresh_llama.model.model.embed_tokens.weight.copy_(embedding)
    model = head_that_says(fresh_llama, 8 * embedding)
    run = an.trace(model, TEXT)
    ids = run.tokens.token_id
    np.testing.assert_array_equal(run.tokens.top_ids[1:, 0], ids[:-1])
    assert run.next.top_ids[0] == ids[-1]
    repeated = np.flatnonzero(ids[1:] == ids[:-1]) + 1
    assert (run.tokens.rank[repeated] == 1).all()
    # final_states row t is the state after reading token t
    states = torch.from_numpy(run.final_states)
    np.testing.assert_array_equal((states @ embedding.T).argmax(-1), ids)


# Arguments --------------------------------------------------------------------------------------------


def test_a_lens_list_gets_the_last_layer(llama, run):
    chosen = an.trace(llama, TEXT, lens=[1, 0, 1])
    assert chosen.spec.lens_layers == (0, 1, 2)
    chosen = an.trace(llama, TEXT, lens=[0])
    assert chosen.spec.lens_layers == (0, 2) and chosen.layers.lens_layers.tolist() == [0, 2]
    np.testing.assert_array_equal(chosen.layers.lens_entropy, run.layers.lens_entropy[[0, 2]])
    np.testing.assert_array_equal(chosen.layers.lens_kl, run.layers.lens_kl[[0, 2]])
    np.testing.assert_array_equal(chosen.layers.lens_top_ids, run.layers.lens_top_ids[[0, 2]])
    assert len(chosen.layers.lens_frame("bits")) == 2 * len(chosen.tokens)
    without = an.trace(llama, TEXT)
    assert without.layers.lens_entropy is None and without.spec.lens_layers == ()
    with pytest.raises(ValueError, match="lens=True"):
        without.layers.lens_frame()


@pytest.mark.parametrize("lens", [[3], [-1], [0, 99]])
def test_lens_layers_that_do_not_exist(llama, lens):
    with pytest.raises(ValueError, match="0 to 2"):
        an.trace(llama, TEXT, lens=lens)


def test_top_k_larger_than_the_vocabulary(llama):
    run = an.trace(llama, TEXT, top_k=1000)
    assert run.tokens.top_ids.shape[1] == 320 and run.spec.top_k == 320
    np.testing.assert_allclose(np.exp(run.tokens.top_logprobs[1:].astype(float)).sum(-1), 1, atol=1e-5)
    assert all(sorted(row) == list(range(320)) for row in run.tokens.top_ids[1:].tolist())
    place = (run.tokens.top_ids[1:] == run.tokens.token_id[1:, None]).argmax(-1)
    np.testing.assert_array_equal(place + 1, run.tokens.rank[1:])
    assert set(range(320)) <= set(run.tokens.names)


@pytest.mark.parametrize("top_k", [0, -1])
def test_top_k_below_1(llama, top_k):
    with pytest.raises(ValueError, match="top_k"):
        an.trace(llama, TEXT, top_k=top_k)
    assert is_free(llama.lock)


def test_a_single_token(llama):
    with pytest.raises(InvalidTextError) as caught:
        an.trace(llama, "a")
    assert "single token" in caught.value.message and "beginning-of-text" in caught.value.hint
    run = an.trace(llama, "a", bos="always")  # what the hint says works
    assert len(run.tokens) == 2 and run.tokens.rank.tolist()[0] == 0 and run.tokens.rank[1] >= 1


def test_checks_are_there_and_hold(llama, run):
    of_attention = [
        "measured attention equals the library's",
        "attention rows sum to 1",
        "last 4 rows of every layer equal the library's",
    ]
    always = ["entropy equals a float64 softmax at 8 tokens", "vocabulary head equals the library's logits"]
    of_lens = ["last lens entropy equals output entropy"]
    assert [check.name for check in run.checks] == of_attention + always + of_lens
    assert all(check.passed and 0 <= check.error <= check.tolerance <= 1e-3 for check in run.checks)
    assert [c.name for c in an.trace(llama, TEXT).checks] == of_attention + always
    assert [c.name for c in an.trace(llama, TEXT, attention=False).checks] == always
    assert [c.name for c in an.trace(llama, TEXT, window=17, stride=5).checks] == always


def test_a_wrong_readout_fails_its_check(llama, monkeypatch):
    from analysis.forward import vocabulary_head as readout

    wrong = readout.entropy_of
    monkeypatch.setattr(readout, "entropy_of", lambda *args: wrong(*args) + 1e-3)
    failed = [check.name for check in an.trace(llama, TEXT).checks if not check.passed]
    assert failed == ["entropy equals a float64 softmax at 8 tokens"]


def test_a_check_that_is_not_a_number_fails():
    from analysis.results.trace import Check

    assert not Check("x", float("nan"), 1.0).passed and Check("x", 1.0, 1.0).passed


def test_the_spec_says_what_was_run(llama, run):
    import hashlib

    spec = run.spec
    assert (spec.n_tokens, spec.vocab_size, spec.n_layers, spec.top_k) == (len(run.tokens), 320, 2, 10)
    assert spec.text_sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert spec.model in spec.subtitle and f"{spec.n_tokens} tokens" in spec.subtitle
    assert set(run.versions) == {"torch", "transformers", "tokenizers", "numpy"}
    assert run.seconds["total"] >= run.seconds["body"] > 0


# Progress and stopping --------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"lens": True}, {"window": 17, "stride": 5, "lens": [1]}])
def test_progress_rises_to_1(llama, options):
    seen = []
    an.trace(llama, TEXT, on_progress=lambda share, what: seen.append((share, what)), **options)
    shares = [share for share, _ in seen]
    assert shares[0] >= 0 and shares[-1] == 1.0 and shares == sorted(shares)
    assert seen[-1][1] == "done" and all(what for _, what in seen)
    said = " ".join(what for _, what in seen)
    assert "layer 1/2" in said and "layer 2/2" in said and "vocabulary head" in said
    assert len({round(share, 6) for share in shares}) >= 4
    assert shares[-2] > 0.6
    if "window" in options:
        windows = int(said.rpartition("of window 1/")[2].split()[0])
        assert f"of window {windows}/{windows}" in said
        assert sum(what.startswith("layer 2/2") for _, what in seen) == windows


def stop_at(words):
    def on_progress(_share, what):
        if words in what:
            raise Cancelled

    return on_progress


@pytest.mark.parametrize("words", ["layer 0/2", "layer 1/2", "layer 2/2", "vocabulary head", "lens", "done"])
@pytest.mark.parametrize("options", [{}, {"window": 17, "stride": 5}])
def test_stopping_leaves_nothing_behind(llama, run, words, options):
    with pytest.raises(Cancelled):
        an.trace(llama, TEXT, lens=True, on_progress=stop_at(words), **options)
    assert no_hooks(llama) and is_free(llama.lock)
    assert not torch.is_inference_mode_enabled()
    assert_same(an.trace(llama, TEXT, lens=True), run)


def test_a_failing_callback_leaves_nothing_behind(llama):
    def fail(share, _what):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        an.trace(llama, TEXT, on_progress=fail)
    assert no_hooks(llama) and is_free(llama.lock)


def test_a_plain_run_leaves_no_hooks(llama, run):
    assert no_hooks(llama) and is_free(llama.lock)


# Sharing ----------------------------------------------------------------------------------------------


def test_a_run_is_the_same_again_bit_for_bit(llama, run):
    assert_same(an.trace(llama, TEXT, lens=True), run)


def test_what_comes_later_changes_nothing_before(llama, run):
    """Causal: a longer text gives its beginning the same numbers."""
    longer = an.trace(llama, TEXT + " More of it follows, and then some.")
    n = len(run.tokens) - 1
    np.testing.assert_allclose(
        longer.tokens.entropy[1:n], run.tokens.entropy[1:n], atol=budget.rounding_in(llama, TEXT), rtol=0
    )


def test_threads_do_not_disturb_each_other(llama):
    """Two texts, special tokens parsed in one and not in the other, four threads at a time."""
    jobs = [
        {"text": TEXT + "<s>", "lens": True},
        {"text": "Another </s> text of the same model.", "parse_special": False},
        {"text": TEXT + "<s>", "parse_special": False},
        {"text": "Another </s> text of the same model.", "window": 9, "stride": 3},
    ]
    alone = [an.trace(llama, **job) for job in jobs]
    results, errors = {}, []
    gate = threading.Barrier(len(jobs))

    def work(i):
        try:
            for again in range(4):
                gate.wait()
                results[i, again] = an.trace(llama, **jobs[i])
        except BaseException as error:  # noqa: BLE001 - told to the test below
            errors.append(error)
            gate.abort()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for (i, _), result in results.items():
        assert_same(result, alone[i])
    assert len(results) == 16 and no_hooks(llama)


def test_waiting_for_the_model_is_not_counted_as_work(fresh_llama, monkeypatch):
    """The time a run takes teaches the speed; time spent waiting for another must not."""
    clock = [0.0]

    def tick():
        clock[0] += 0.001
        return clock[0]

    class TakesAnHour(AbstractContextManager):
        def __enter__(self):
            clock[0] += 3600

        def __exit__(self, *_error):
            clock[0] += 3600

    for module in (trace_module, run_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=tick, process_time=tick))
    fresh_llama.lock = TakesAnHour()
    assert 0 < an.trace(fresh_llama, "some text here").seconds["total"] < 1


def test_the_model_comes_back_unchanged(llama):
    before = {k: v.clone() for k, v in llama.model.state_dict().items()}
    config = llama.model.config.to_dict()
    an.trace(llama, TEXT, lens=True)
    assert all(torch.equal(before[k], v) for k, v in llama.model.state_dict().items())
    assert llama.model.config.to_dict() == config


def test_half_precision_weights_are_read_in_float32(tiny_folder):
    """bfloat16 weights: the head's logits are not rounded to 16 bits."""
    model = an.load_model(str(tiny_folder("llama")), dtype="bfloat16")
    assert model.info.dtype == "bfloat16"
    run = an.trace(model, TEXT, lens=True)
    states = torch.from_numpy(run.final_states).double()
    lp = (states @ model.model.lm_head.weight.double().T).log_softmax(-1)
    entropy = -(lp.exp() * lp).sum(-1).numpy()
    np.testing.assert_allclose(run.tokens.entropy[1:], entropy[:-1], atol=1e-4)
    assert all(check.passed for check in run.checks)
