"""Greedy texts and physically evicted caches, against the library's own generation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import DynamicCache

import analysis as an
from analysis.errors import AnalysisError, Cancelled
from analysis.kv_cache.capabilities import cache_facts
from analysis.kv_cache.continuation import compacted, run_continuation
from analysis.kv_cache.prefill import read_prefix
from analysis.kv_cache.steps import Greedy
from analysis.kv_cache.stream import Stream, cache_kind
from analysis.models.stops import stop_ids
from analysis.pruning_effects.eviction import context_run, generation
from analysis.pruning_effects.eviction.generation import generate_greedy
from analysis.pruning_effects.eviction.physical_cache import (
    cache_bytes,
    evicted_cache,
    not_physical,
    physical_costs,
)
from analysis.pruning_effects.eviction.results import Setting
from tests import budget
from tests.tiny_models.families import save_tiny
from tests.tiny_models.unusual import CONFIGS, language_model, unusual_model

CONTEXT = "The cat sat on the mat, and the dog ran to the river in the morning; it was not there. " * 2
QUESTION = " Where did the dog run?"
SETTING = Setting("window", "window", 0.5, 0, 0)


def ids_of(model, text: str, special: bool = True) -> torch.Tensor:
    return torch.tensor(model.tokenizer(text, add_special_tokens=special)["input_ids"])


def physical_logits(model, cache, ids: torch.Tensor, start: int) -> torch.Tensor:
    """Logits (m, V) that the library gives for tokens read one at a time after an evicted cache, which grows."""
    rows = []
    for t, token in enumerate(ids):
        places = torch.tensor([[start + t]])
        rows.append(model.model(token[None, None], past_key_values=cache, position_ids=places).logits[0])
    return torch.cat(rows).float()


def made(family: str, load_tiny):
    """A tiny model, one with recurrences among them."""
    return language_model(unusual_model(family), family) if family in CONFIGS else load_tiny(family)


# Greedy texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "smollm3", "gpt_oss", "cohere"])
def test_the_full_cache_writes_what_the_library_writes(load_tiny, family):
    model = load_tiny(family)
    found = generate_greedy(model, CONTEXT, QUESTION, ["window"], [0.5], n_new=20)
    ids = torch.cat([ids_of(model, CONTEXT), ids_of(model, QUESTION, False)])
    with torch.inference_mode():
        out = model.model.generate(ids[None], max_new_tokens=20, do_sample=False, pad_token_id=0)[
            0, len(ids) :
        ]
    assert found.ids[0].tolist() == out.tolist()
    assert found.texts[0] == model.tokenizer.decode(out, skip_special_tokens=True)
    assert found.first_divergence[0] == -1 and found.to_frame()["same"][0]


def test_a_window_writes_what_a_really_smaller_cache_writes(llama):
    """Greedy by hand with the library: whole prefill, the newest half of every layer, positions passed on."""
    found = generate_greedy(llama, CONTEXT, QUESTION, ["window", "h2o"], [0.5], n_new=16)
    context, question = ids_of(llama, CONTEXT), ids_of(llama, QUESTION, False)
    n, written = len(context), []
    with torch.inference_mode():
        whole, small = DynamicCache(), DynamicCache()
        llama.model(context[None], past_key_values=whole)
        for i, layer in enumerate(whole.layers):
            small.update(layer.keys[:, :, -(n // 2) :], layer.values[:, :, -(n // 2) :], i)
        tokens = question.tolist()
        for t in range(len(question) + 15):
            token = tokens[t] if t < len(tokens) else written[-1]
            places = torch.tensor([[n + t]])
            logits = llama.model(torch.tensor([[token]]), past_key_values=small, position_ids=places).logits
            if t >= len(question) - 1:
                written.append(int(logits[0, -1].argmax()))
    assert found.ids[1].tolist() == written
    assert found.ids[0].tolist() != written
    first = next(i for i, (a, b) in enumerate(zip(found.ids[0], written, strict=False)) if a != b)
    assert found.first_divergence[1] == first


def test_every_kind_of_setting_can_write(load_tiny, monkeypatch):
    """Moved positions, selection and bypass, in batches; company changes nothing."""
    names = ["window", "streaming-moved", "tokenselect", "h2o"]
    model, seen = load_tiny("llama"), []
    together = generate_greedy(model, CONTEXT, QUESTION, names, [1.0, 0.3], n_new=12)
    monkeypatch.setattr(generation, "_SETTINGS_AT_ONCE", 3)
    parts = generate_greedy(model, CONTEXT, QUESTION, names, [1.0, 0.3], n_new=12, on_partial=seen.append)
    assert [len(part.settings) for part in seen] == [3, 6, 9]
    for setting, a, b in zip(together.settings, together.ids, parts.ids, strict=True):
        if setting.policy != "tokenselect" or setting.kept == 1:  # a vote may hang on the last digit
            np.testing.assert_array_equal(a, b)
    frame = together.to_frame()
    assert frame[frame.kept == 1].same.all() and not frame[frame.kept < 1].same.all()
    passing = generate_greedy(load_tiny("gemma2"), CONTEXT, QUESTION, ["bypass"], [1.0, 0.6], n_new=12)
    assert passing.first_divergence.tolist()[:2] == [-1, -1] and passing.settings[2].computed < 0.7


@pytest.mark.filterwarnings("ignore")  # the library announces its slower reference kernels
@pytest.mark.parametrize("family", ["llama", "qwen3_next"])
def test_a_setting_ends_at_the_end_of_text_and_the_others_go_on(load_tiny, family, monkeypatch):
    """Rows that are done leave the batch, with their keys and the states of their recurrences."""
    model, names = made(family, load_tiny), ["window", "h2o"]
    whole = generate_greedy(model, CONTEXT, QUESTION, names, [0.5, 0.2], n_new=12)
    end = int(whole.ids[0][4])
    monkeypatch.setattr(generation, "stop_ids", lambda of: (*stop_ids(of), end))
    cut = generate_greedy(model, CONTEXT, QUESTION, names, [0.5, 0.2], n_new=12)
    for before, after in zip(whole.ids, cut.ids, strict=True):
        ends = [*np.flatnonzero(before == end), len(before) - 1]
        np.testing.assert_array_equal(after, before[: ends[0] + 1])
    assert len({len(ids) for ids in cut.ids}) > 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen3_next"])
def test_one_loop_writes_with_every_kind_of_cache(load_tiny, family):
    """The page Write's cache, and one of which nothing is evicted, one step after the other."""
    model = made(family, load_tiny)
    found = generate_greedy(model, CONTEXT, QUESTION, [], [0.5], n_new=12)
    ids = torch.cat([ids_of(model, CONTEXT), ids_of(model, QUESTION, False)])
    with model.lock, torch.inference_mode():
        stream = Stream(model, cache_kind(model))
        greedy = Greedy(model, stream, stream.read(ids[None])[:, -1], 12, stop_ids(model))
    steps = []
    greedy.run(steps.append)
    assert greedy.written == [found.ids[0].tolist()]
    assert steps == list(range(1, len(found.ids[0]))), "the last token is not read"


def test_an_answer_counts_where_greedy_text_begins_with_it(llama):
    """The needle test asks whether every token of the answer is the first choice, in one pass; here it is written."""
    names = ["window", "h2o", "knorm"]
    found = generate_greedy(llama, CONTEXT, QUESTION, names, [0.8, 0.5], n_new=3)
    for ids in found.ids:
        answer = llama.tokenizer.decode(ids)
        if llama.tokenizer(answer, add_special_tokens=False)["input_ids"] != ids.tolist():
            continue
        sweep = an.sweep_eviction(llama, CONTEXT, QUESTION, names, [0.8, 0.5], answer=answer)
        said = [np.array_equal(other[: len(ids)], ids) for other in found.ids]
        assert sweep.answered().tolist() == said


def test_texts_of_different_lengths_diverge_where_the_shorter_ends():
    differ = generation._first_difference
    assert differ(np.array([1, 2, 3]), np.array([1, 2, 3])) == -1
    assert differ(np.array([1, 2, 3]), np.array([1, 2])) == 2
    assert differ(np.array([1, 2, 3]), np.array([1, 5, 3])) == 1


def test_what_cannot_be_written_is_refused(llama):
    with pytest.raises(AnalysisError, match="No tokens are to be written"):
        generate_greedy(llama, CONTEXT, QUESTION, ["window"], [0.5], n_new=0)
    with pytest.raises(AnalysisError, match="reads at most 2,048"):
        generate_greedy(llama, CONTEXT, QUESTION, ["window"], [0.5], n_new=2000)

    def stop(_share, what):
        if what.startswith("token 3"):
            raise Cancelled

    with pytest.raises(Cancelled):
        generate_greedy(llama, CONTEXT, QUESTION, ["window"], [0.5], on_progress=stop)
    assert len(generate_greedy(llama, CONTEXT, QUESTION, ["window"], [0.5], n_new=2).texts) == 2


# Keys that are really gone ----------------------------------------------------------------------------


def opened(model, n_layers_differ: bool = False):
    ids = ids_of(model, CONTEXT)
    with model.lock, torch.inference_mode():
        prefix = read_prefix(model, ids, lambda _view: None, layout=cache_facts(model).layout)
    n = prefix.n_tokens
    draw = torch.Generator().manual_seed(0)
    noise = torch.rand(len(prefix.keys), prefix.keys[0].shape[0], n, generator=draw)
    keep = noise.argsort(-1).argsort(-1) < n // 2
    if n_layers_differ:
        keep[0] = noise[0].argsort(-1).argsort(-1) < n // 4
    return prefix, keep


@pytest.mark.parametrize("differ", [False, True], ids=["equal layers", "pyramid"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "phi3", "gpt_neox", "opt", "cohere"])
def test_an_evicted_cache_gives_the_masked_logits(load_tiny, family, differ):
    model = load_tiny(family)
    prefix, keep = opened(model, differ)
    after = ids_of(model, QUESTION, False)
    with model.lock, torch.inference_mode():
        cache = evicted_cache(model, prefix, keep)
        assert cache_bytes(cache) == 4 * 2 * int(keep.sum()) * prefix.keys[0].shape[-1]
        theirs = physical_logits(model, cache, after, prefix.n_tokens)
        states = run_continuation(model, prefix, after, keep[None])
        ours = model.anatomy.head.logits(states[0])
    assert (ours - theirs).abs().max() < budget.WIDE * budget.rounding(theirs)


def test_an_evicted_cache_with_moved_positions(llama):
    prefix, _ = opened(llama)
    keep = torch.zeros(2, 2, prefix.n_tokens, dtype=torch.bool)
    keep[..., :4] = keep[..., -30:] = True
    special = compacted(prefix, keep)
    after = ids_of(llama, QUESTION, False)
    with llama.lock, torch.inference_mode():
        theirs = physical_logits(llama, evicted_cache(llama, prefix, keep, special), after, 34)
        states = run_continuation(llama, prefix, after, keep[None], special={0: special})
        ours = llama.anatomy.head.logits(states[0])
    assert (ours - theirs).abs().max() < budget.WIDE * budget.rounding(theirs)


def test_what_cannot_be_made_smaller_says_why(load_tiny):
    llama, mistral = load_tiny("llama"), load_tiny("mistral")
    _, keep = opened(llama)
    assert not_physical(llama, SETTING, keep) == ""
    ragged = keep.clone()
    ragged[0, 0] = True
    assert "different numbers" in not_physical(llama, SETTING, ragged)
    assert "windows" in not_physical(mistral, SETTING, keep)
    assert "deletes nothing" in not_physical(llama, Setting("t", "t", 0.5, 0, 0, deletes=False), keep)


def test_costs_need_room_for_the_steps_that_are_timed_and_read_no_other_text(llama, monkeypatch):
    read = []
    checked = context_run.check_continuation
    monkeypatch.setattr(
        context_run, "check_continuation", lambda *call: read.append(call[-1].tolist()) or checked(*call)
    )
    physical_costs(llama, CONTEXT, [], [0.5], batches=(1,), steps=3)
    assert read == [[ids_of(llama, CONTEXT)[-1]] * 3]
    words = " cat" * (llama.info.context_length - 5)
    with pytest.raises(AnalysisError, match="timed steps have"):
        physical_costs(llama, words, [], [0.5], batches=(1,), steps=8)


def test_costs_are_measured(llama):
    frame = physical_costs(llama, CONTEXT, ["window", "tokenselect"], [0.5], steps=3)
    assert frame[["policy", "batch"]].values.tolist() == [
        ["full", 1],
        ["full", 16],
        ["window", 1],
        ["window", 16],
        ["tokenselect", 1],
        ["tokenselect", 16],
    ]
    n = len(ids_of(llama, CONTEXT))
    one = 4 * 2 * 2 * 2 * 16  # float32, keys and values, 2 layers, 2 KV heads of 16
    assert frame["kv_bytes_physical"][:4].tolist() == [
        one * n,
        16 * one * n,
        one * (n // 2),
        16 * one * (n // 2),
    ]
    measured = frame[:4]
    assert (measured["decode_seconds"] > 0).all() and (measured["evict_seconds"] > 0).all()
    assert (measured["why"] == "").all()
    assert frame["kv_bytes_physical"][4:].isna().all() and (frame["why"][4:] == "It deletes nothing.").all()


def test_a_16_bit_model_keeps_its_cache_in_16_bits(tmp_path):
    model = an.load_model(str(save_tiny("llama", tmp_path, dtype=torch.bfloat16)), dtype="bfloat16")
    prefix, keep = opened(model)
    cache = evicted_cache(model, prefix, keep)
    assert cache.layers[0].keys.dtype == torch.bfloat16
    assert cache_bytes(cache) == 2 * 2 * int(keep.sum()) * prefix.keys[0].shape[-1]


@pytest.mark.embedded
def test_the_embedded_model_with_a_really_smaller_cache(smollm2):
    prefix, keep = opened(smollm2)
    after = ids_of(smollm2, QUESTION, False)
    with smollm2.lock, torch.inference_mode():
        theirs = physical_logits(smollm2, evicted_cache(smollm2, prefix, keep), after, prefix.n_tokens)
        states = run_continuation(smollm2, prefix, after, keep[None])
        ours = smollm2.anatomy.head.logits(states[0])
    assert (ours - theirs).abs().max() < budget.WIDE * budget.rounding(theirs)
