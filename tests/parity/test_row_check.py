"""The checks of a run find what a run could do wrong: planted faults, before and after the once-per-model probe."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
import torch

import analysis as an
from analysis.errors import UnsupportedModelError
from analysis.forward import attention_adapter, attention_probe
from analysis.forward.row_check import MaskProof
from analysis.forward.visibility import AttentionSpan, span_of
from tests.tiny_models.families import tiny_model
from tests.tiny_models.unusual import language_model, unusual_model

SENTENCE = "The cat sat on the mat and looked at the rain. It was noon, and nobody came. "
TEXT = SENTENCE * 4
AFTER = "Then the postman came at last."


def without(name):
    """Attention that forgets one of its options."""
    right = attention_adapter.attend

    def wrong(query, key, value, *, scale, **options):
        if name == "scale":
            scale = query.shape[-1] ** -0.5
        options.pop(name, None)
        return right(query, key, value, scale=scale, **options)

    return wrong


def swallowed_mask(monkeypatch):
    monkeypatch.setattr(attention_adapter, "span_of", lambda *_: AttentionSpan())


def wrong_window(monkeypatch):
    def one_more(function, size, device="cpu"):
        span = span_of(function, size, device)
        return replace(span, window=span.window + 1) if span.window else span

    monkeypatch.setattr(attention_adapter, "span_of", one_more)


FAULTS = {
    "a swallowed window": ("mistral", swallowed_mask),
    "a window too wide by one": ("gemma3", wrong_window),
    "a missing scale": ("granite", lambda m: m.setattr(attention_adapter, "attend", without("scale"))),
    "a dropped soft cap": ("gemma2", lambda m: m.setattr(attention_adapter, "attend", without("softcap"))),
    "a dropped learned sink": (
        "gpt_oss",
        lambda m: m.setattr(attention_adapter, "attend", without("sink_logits")),
    ),
}


@pytest.mark.parametrize("probed", [False, True], ids=["before the probe", "after the probe"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault, probed, monkeypatch):
    family, plant = FAULTS[fault]
    model = language_model(tiny_model(family), family)
    right = an.trace(model, TEXT, attention=False)
    if probed:
        assert an.trace(model, "The cat sat").attention is not None
    plant(monkeypatch)
    run = an.trace(model, TEXT)
    assert run.attention is None, fault
    assert "differ" in run.unavailable["attention"]
    torch.testing.assert_close(run.tokens.surprisal[1:], right.tokens.surprisal[1:], rtol=0, atol=0)
    with pytest.raises(UnsupportedModelError, match="differ"):
        an.sweep_eviction(model, TEXT, AFTER, ["h2o"], [0.5])


def test_a_long_chunk_that_is_swallowed_is_found(monkeypatch):
    """Longer than any probe: the run's own last rows see it."""
    model = language_model(unusual_model("llama4_text", attention_chunk_size=1100))
    assert an.trace(model, TEXT).attention is not None
    swallowed_mask(monkeypatch)
    long = model.tokenizer.decode(model.tokenizer(SENTENCE * 40)["input_ids"][:1150])
    run = an.trace(model, long)
    assert run.attention is None and "last rows differ" in run.unavailable["attention"]
    model.found.pop(MaskProof)
    with pytest.raises(UnsupportedModelError, match="last rows differ"):
        an.sweep_eviction(model, long, AFTER, ["streaming"], [0.5])


def test_a_keyword_that_is_not_known_is_refused():
    model = language_model(tiny_model("llama"))
    attention = model.model.model.layers[1].self_attn
    forward = attention.forward
    attention.forward = lambda *args, **kwargs: forward(*args, **kwargs, position_bias=torch.zeros(1))
    run = an.trace(model, SENTENCE)
    assert run.attention is None and "'position_bias'" in run.unavailable["attention"]
    with pytest.raises(UnsupportedModelError, match="position_bias"):
        an.sweep_eviction(model, SENTENCE, AFTER, ["streaming"], [0.5])


def test_the_checks_stand_on_the_run():
    model = language_model(tiny_model("mistral"))
    names = [check.name for check in an.trace(model, TEXT).checks]
    assert "last 4 rows of every layer equal the library's" in names
    sweep = an.sweep_eviction(model, TEXT, AFTER, ["streaming"], [0.5])
    assert [check.passed for check in sweep.checks] == [True, True, True]
    assert "cached step" in sweep.checks[2].name


def test_masks_are_asked_for_once_a_length(monkeypatch):
    model = language_model(tiny_model("mistral"))
    asked, read = [], attention_probe.RowCheck._read_masks
    monkeypatch.setattr(
        attention_probe.RowCheck,
        "_read_masks",
        lambda self, *a: (asked.append(self.n_tokens), read(self, *a)),
    )
    for text in (SENTENCE, SENTENCE, TEXT, SENTENCE, TEXT):
        an.trace(model, text)
    assert asked == sorted(set(asked)) and len(asked) <= 3  # the probe, and each text longer than all before


def work(model):
    """Every kind of work that touches a model."""
    run = an.trace(model, SENTENCE, lens=True)
    an.head_map_block(model, run, 0, 0)
    an.extreme_tokens(model, run)
    an.break_sink(model, run, "hide token 0")
    an.sweep_eviction(model, SENTENCE, AFTER, ["h2o", "snapkv", "tokenselect"], [0.5])
    an.sweep_decoding(model, SENTENCE, AFTER, ["h2o"], [0.5])
    an.generate_greedy(model, SENTENCE, AFTER, ["h2o"], [0.5], n_new=3)
    an.compress(model, SENTENCE, "attention", 0.5)
    an.compress(model, SENTENCE, "llmlingua", 0.5)


def test_nothing_of_a_run_outlives_it():
    model = language_model(tiny_model("llama"))
    work(model)
    held = [weakref.ref(model), weakref.ref(model.model)]
    del model
    gc.collect()
    assert [ref() for ref in held] == [None, None]


def tensor_bytes():
    gc.collect()
    found = {
        x.untyped_storage().data_ptr(): x.untyped_storage().nbytes()
        for x in gc.get_objects()
        if issubclass(type(x), torch.Tensor)
    }
    return sum(found.values())


def test_twenty_sweeps_and_unloads_hold_no_more_than_three():
    held = []
    for _ in range(20):
        model = language_model(tiny_model("llama"))
        an.sweep_eviction(model, SENTENCE, AFTER, ["h2o", "snapkv"], [0.5])
        del model
        held.append(tensor_bytes())
    assert max(held[3:]) <= 1.05 * held[2]
