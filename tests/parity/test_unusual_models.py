"""Hybrids, chunks, gates and models without attention, against the library's own eager float32 numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import analysis as an
from analysis.errors import AnalysisError, UnsupportedModelError
from analysis.forward import unavailable
from tests import budget
from tests.tiny_models.unusual import (
    ATTENTION_LAYERS,
    BY_MAPS,
    CONFIGS,
    GATED,
    NOT_MEASURED,
    RECURRENT,
    language_model,
    unusual_model,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # the library announces its slower reference kernels
SENTENCE = "The cat sat on the mat and looked at the rain. It was noon, and nobody came. "
AFTER = "Then the postman came at last."
LENGTHS = (17, 129, 640)


@pytest.fixture(scope="module")
def models():
    made = {}

    def get(name):
        if name not in made:
            made[name] = language_model(unusual_model(name), name)
        return made[name]

    return get


def text_of(model, n):
    """A text of n tokens."""
    ids = model.tokenizer(SENTENCE * 30, add_special_tokens=False)["input_ids"][:n]
    return model.tokenizer.decode(ids)


def plain_logits(model, ids, implementation="eager", **options):
    """What the library gives for a text."""
    before = model.config._attn_implementation
    model.config._attn_implementation = implementation  # Falcon takes no other way
    try:
        with torch.inference_mode():
            return model(input_ids=torch.as_tensor(ids)[None], use_cache=False, **options)
    finally:
        model.config._attn_implementation = before


def row_entropy(weights):
    """Nats, float64, of maps (1, H, T, T)."""
    weights = weights[0].double().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(weights > 0, weights * np.log(weights), 0).sum(-1)


@pytest.mark.parametrize("name", CONFIGS)
def test_predictions_are_the_library_s(models, name):
    model = models(name)
    for n in LENGTHS:
        run = an.trace(model, text_of(model, n), lens=[0, 2])
        ids = torch.from_numpy(run.tokens.token_id)
        # Falcon's eager ALiBi is another computation than its fused one, which is what runs by default.
        own = model.model.config._attn_implementation if name == "falcon_alibi" else "eager"
        logits = plain_logits(model.model, ids, own).logits[0].double()
        log_probs = logits.log_softmax(-1)
        surprisal = -log_probs[:-1].gather(1, ids[1:, None])[:, 0].numpy()
        allowed = budget.rounding(logits)
        np.testing.assert_allclose(run.tokens.surprisal[1:], surprisal, atol=allowed)
        entropy = -(log_probs.exp() * log_probs).sum(-1).numpy()
        np.testing.assert_allclose(run.tokens.entropy[1:], entropy[:-1], atol=allowed)
        assert run.layers.residual_norm.shape == (model.info.n_layers + 1, n)
        np.testing.assert_allclose(run.layers.lens_entropy[-1][1:], run.tokens.entropy[1:], atol=allowed)
        assert run.layers.spectrum is not None and all(check.passed for check in run.checks)


@pytest.mark.parametrize("name", ATTENTION_LAYERS)
def test_attention_is_measured_in_the_layers_that_have_it(models, name):
    model = models(name)
    for n in LENGTHS:
        run = an.trace(model, text_of(model, n))
        attention = run.attention
        assert attention.layer_numbers.tolist() == ATTENTION_LAYERS[name], run.unavailable
        maps = plain_logits(model.model, run.tokens.token_id, output_attentions=True).attentions
        maps = [m for m in maps if m is not None]
        if len(maps) == model.info.n_layers > attention.n_layers:  # some classes hand over a place per layer
            maps = [maps[layer] for layer in ATTENTION_LAYERS[name]]
        assert len(maps) == attention.n_layers
        for row, weights in enumerate(maps):
            np.testing.assert_allclose(attention.entropy[row], row_entropy(weights), atol=budget.ROW_ENTROPY)
            weights = weights[0].double().numpy()
            received = weights.sum(1) / (weights > 0).sum(1).clip(1)
            seen = attention.seen_by()[row] >= 1
            np.testing.assert_allclose(
                attention.received[row] * attention.seen_by()[row], weights.sum(1), rtol=1e-4, atol=1e-5
            )
            np.testing.assert_allclose(attention.sink_mass[row], weights[:, 1:, 0].mean(-1), atol=1e-6)
            assert seen.all() and np.isfinite(received).all()
        others = model.info.n_layers - attention.n_layers
        assert ("attention of other layers" in run.unavailable) == (others > 0)


@pytest.mark.parametrize("name", NOT_MEASURED)
def test_attention_that_cannot_be_measured_says_why_on_every_road(models, name):
    model = models(name)
    run = an.trace(model, SENTENCE)
    assert run.attention is None and NOT_MEASURED[name].lower() in run.unavailable["attention"].lower()
    roads = (
        lambda: an.sweep_eviction(model, SENTENCE, AFTER, ["streaming"], [0.5]),
        lambda: an.sweep_decoding(model, SENTENCE, AFTER, ["h2o"], [0.5]),
        lambda: an.generate_greedy(model, SENTENCE, AFTER, ["streaming"], [0.5], n_new=2),
        lambda: an.compress(model, SENTENCE * 2, "attention", 0.5),
    )
    for road in roads:
        with pytest.raises(UnsupportedModelError) as caught:
            road()
        assert NOT_MEASURED[name].lower() in caught.value.message.lower() and caught.value.hint


@pytest.mark.parametrize("name", BY_MAPS)
def test_models_that_show_maps_alone_are_measured_and_not_pruned(models, name):
    model = models(name)
    before = model.model.config._attn_implementation
    run = an.trace(model, SENTENCE)
    assert np.isnan(run.attention.key_norm).all() and "queries, keys" in run.unavailable["keys and values"]
    assert run.attention.window.tolist() == ([0, 32, 0, 32] if name == "gpt_neo" else [0] * 4)
    received = an.compress(model, SENTENCE * 2, "attention", 0.5)
    assert received.keep.any() and not received.keep.all()
    roads = (
        lambda: an.sweep_eviction(model, SENTENCE, AFTER, ["streaming"], [0.5]),
        lambda: an.sweep_decoding(model, SENTENCE, AFTER, ["h2o"], [0.5]),
        lambda: an.generate_greedy(model, SENTENCE, AFTER, ["streaming"], [0.5], n_new=2),
        lambda: an.head_map_block(model, run, 0, 0),
        lambda: an.extreme_tokens(model, run),
        lambda: an.break_sink(model, run, "hide token 0"),
    )
    for road in roads:
        with pytest.raises(AnalysisError, match="queries, keys"):
            road()
    assert model.model.config._attn_implementation == before


def test_maps_that_do_not_fit_are_not_made(models, monkeypatch):
    monkeypatch.setattr(unavailable, "free_bytes", lambda _device: 8 * 4 * 4 * 50**2)
    short, long = (an.trace(models("bloom"), text_of(models("bloom"), n)) for n in (40, 60))
    assert short.attention is not None and long.attention is None
    assert "Up to 50 tokens" in long.unavailable["attention"]
    assert np.isfinite(long.tokens.surprisal[1:]).all()


def test_a_chunk_longer_than_any_probe_is_seen():
    """Llama 4 reads in chunks; a chunk beyond what a probe can cross shows in the run's own last rows."""
    model = language_model(unusual_model("llama4_text", attention_chunk_size=1100))
    run = an.trace(model, text_of(model, 1234))
    assert run.attention.chunk.tolist() == [1100, 1100, 1100, 0]
    logits = plain_logits(model.model, run.tokens.token_id).logits[0].double()
    ids = torch.from_numpy(run.tokens.token_id)
    surprisal = -logits.log_softmax(-1)[:-1].gather(1, ids[1:, None])[:, 0].numpy()
    np.testing.assert_allclose(run.tokens.surprisal[1:], surprisal, atol=budget.rounding(logits))
    assert run.attention.visible()[0].max() == 1100 and run.attention.visible()[0, 1100] == 1


@pytest.mark.parametrize("name", ["llama4_text", "bart", *RECURRENT])
def test_nothing_evicted_is_the_library_s_own_reading(models, name):
    """Full cache, sweeps and greedy text: chunks, learned positions, temperatures and recurrent states go on."""
    model = models(name)
    sweep = an.sweep_eviction(model, SENTENCE * 2, AFTER, ["streaming"], [1.0])
    text = SENTENCE * 2 + AFTER
    ids = torch.tensor([model.tokenizer(text, add_special_tokens=False)["input_ids"]])
    n = sweep.spec.n_context
    logits = plain_logits(model.model, ids[0]).logits[0].double()
    nll = -logits.log_softmax(-1)[n:-1].gather(1, ids[0, n + 1 :, None]).mean().item()
    in_two_parts = sweep.checks[1]
    allowed = 1e-4 if in_two_parts.passed else 4 * in_two_parts.error  # the library's own steps differ too
    np.testing.assert_allclose(sweep.to_frame()["nll"], nll, atol=allowed)
    assert all(check.passed for check in sweep.checks if check is not in_two_parts)
    written = an.generate_greedy(model, SENTENCE * 2, AFTER, ["streaming"], [1.0], n_new=6)
    with torch.inference_mode():
        expected = model.model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
    assert written.ids[0].tolist() == expected[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("name", RECURRENT)
def test_evicted_keys_are_hidden_and_the_state_is_kept(models, name):
    model = models(name)
    sweep = an.sweep_eviction(model, SENTENCE * 2, AFTER, ["streaming", "h2o"], [0.5])
    frame = sweep.to_frame()
    assert sweep.spec.layers == tuple(ATTENTION_LAYERS[name]) and sweep.spec.state_bytes > 0
    assert (frame["kl"][1:] > 1e-4).all() and "recurrent states kept" in sweep.spec.subtitle
    kept = sweep.kept(1)
    assert kept.shape[0] == len(ATTENTION_LAYERS[name])
    stepwise = an.sweep_decoding(model, SENTENCE, AFTER, ["h2o"], [0.5])
    full = an.sweep_eviction(model, SENTENCE, AFTER, ["streaming"], [1.0])
    np.testing.assert_allclose(stepwise.surprisal[0], full.surprisal[0], atol=1e-3)


def test_a_state_that_is_not_in_the_cache_is_refused(models):
    for name, word in (("recurrent_gemma", "two parts"), ("minimax", "own kind")):
        with pytest.raises(UnsupportedModelError, match=word):
            an.sweep_eviction(models(name), SENTENCE, AFTER, ["streaming"], [0.5])


@pytest.mark.parametrize("name", sorted(set(ATTENTION_LAYERS)))
def test_gates_are_measured_where_they_are(models, name):
    run = an.trace(models(name), SENTENCE)
    assert (run.attention.gate is not None) == (name in GATED)


def test_the_gate_is_the_mean_of_what_passes(models):
    """Qwen3-Next: the second half of every head's slice of the query projection, through a sigmoid."""
    model = models("qwen3_next")
    attention = model.model.model.layers[3].self_attn
    caught = {}
    hook = attention.q_proj.register_forward_hook(lambda _m, _a, out: caught.update(gate=out))
    projected = attention.o_proj.register_forward_pre_hook(lambda _m, args: caught.update(passed=args[0]))
    run = an.trace(model, SENTENCE)
    hook.remove()
    projected.remove()
    gate = caught["gate"][0].view(run.spec.n_tokens, 4, -1)[..., 16:].sigmoid()
    passed = caught["passed"][0].view(run.spec.n_tokens, 4, 16)
    output = passed / gate
    share = (passed * output).sum(-1) / output.square().sum(-1)
    np.testing.assert_allclose(run.attention.gate[0], share.mean(0).numpy(), rtol=1e-4)
    assert 0.3 < run.attention.gate.mean() < 0.7


def test_a_saved_hybrid_opens(models, tmp_path):
    run = an.trace(models("qwen3_next"), SENTENCE)
    again = an.load_trace(run.save(tmp_path / "hybrid.trace"))
    np.testing.assert_array_equal(again.attention.layer_numbers, [3])
    np.testing.assert_array_equal(again.attention.gate, run.attention.gate)
    assert again.unavailable == run.unavailable
