"""The Bigram-Backcopy lab: its model, what is measured in it, and training that forms a sink."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from analysis.attention_sinks.measures import triad
from analysis.entropy_collapse.labs.backcopy import training as backcopy_train
from analysis.entropy_collapse.labs.backcopy.measures import (
    attention_traces,
    by_character,
    delta_logit,
    evaluate,
    hold_out,
    risks,
)
from analysis.entropy_collapse.labs.backcopy.model import Decoder, attend
from analysis.entropy_collapse.labs.backcopy.results import VARIANTS, BackcopySettings, backcopy_summary
from analysis.entropy_collapse.labs.backcopy.task import shipped_task
from analysis.entropy_collapse.labs.backcopy.training import evaluation_steps, train_backcopy
from analysis.errors import AnalysisError, Cancelled
from analysis.forward.attention import attend as measured_attend
from analysis.forward.recorder import Recorder
from analysis.forward.visibility import CAUSAL

TINY = BackcopySettings(steps=6, width=8, length=16, batch=2)


@pytest.fixture(scope="module")
def task():
    return shipped_task()


@pytest.fixture(scope="module")
def held(task):
    return hold_out(task, task.sequences(np.random.default_rng(0).random((5, 24)))[:, :24])


def decoder(task, kind="softmax", n_layers=2, width=8):
    model = Decoder(task.n_tokens, 24, width, n_layers, kind, torch.Generator().manual_seed(1))
    for block in model.blocks:  # scores far from 0, or every attention is uniform
        block.query.data *= 6
    return model


def seen_by(model, ids):
    seen, states = [], []
    with torch.no_grad():
        logits = model(torch.from_numpy(ids), seen, states)
    return logits, seen, states


# The model --------------------------------------------------------------------------------------------


def test_softmax_attention_is_torchs_own():
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(3, 17, 8, generator=generator, dtype=torch.float64) for _ in range(3))
    _, weights = attend(query, key, "softmax")
    own = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(weights @ value, own, rtol=1e-12, atol=1e-12)


def test_relu_attention_is_its_formula_spelled_out():
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 7, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    scores, weights = attend(query, key, "relu")
    for n in range(2):
        for i in range(7):
            for j in range(7):
                score = float(query[n, i] @ key[n, j]) / math.sqrt(4)
                assert float(scores[n, i, j]) == pytest.approx(score)
                expected = max(score, 0.0) / (i + 1) if j <= i else 0.0
                assert float(weights[n, i, j]) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["softmax", "relu"])
def test_no_token_sees_a_later_one(task, held, kind):
    model = decoder(task, kind)
    changed = held.ids.copy()
    changed[:, 12:] = (changed[:, 12:] + 1) % task.bos
    one, two = seen_by(model, held.ids)[0], seen_by(model, changed)[0]
    torch.testing.assert_close(one[:, :12], two[:, :12])
    assert (one[:, 12:] - two[:, 12:]).abs().max() > 0.01


def test_a_decoder_is_pre_ln_with_a_head_of_its_own(task, held):
    """One layer against the formulas, in numpy and float64."""
    model = decoder(task, n_layers=1).double()
    p = {name: x.detach().numpy() for name, x in model.named_parameters()}

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return centred / spread * p[f"{name}.weight"] + p[f"{name}.bias"]

    state = p["embedding"][held.ids] + p["positions"][: held.ids.shape[1]]
    x = norm(state, "blocks.0.norm_attention")
    query, key, value = (x @ p[f"blocks.0.{name}"].T for name in ("query", "key", "value"))
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(8)
    weights = np.tril(np.exp(scores - scores.max(-1, keepdims=True)))
    state = state + weights / weights.sum(-1, keepdims=True) @ value @ p["blocks.0.output"].T
    hidden = np.maximum(norm(state, "blocks.0.norm_mlp") @ p["blocks.0.up"].T, 0)
    state = state + hidden @ p["blocks.0.down"].T
    logits, _, states = seen_by(model, held.ids)
    np.testing.assert_allclose(states[1].numpy(), state, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(logits.numpy(), norm(state, "norm") @ p["head"].T, rtol=1e-9, atol=1e-10)


# What is measured -------------------------------------------------------------------------------------


def test_traces_are_those_of_the_measured_pass(task, held):
    """The attention that measures any loaded model gives the same arrays for this one."""
    model = decoder(task)
    _, seen, _ = seen_by(model, held.ids)
    with torch.no_grad():
        states = functional.embedding(torch.from_numpy(held.ids), model.embedding) + model.positions
    ours = attention_traces(seen)
    for sequence in range(len(held.ids)):
        recorder = Recorder(tuple(range(len(seen))))
        x = states
        for number, (block, layer) in enumerate(zip(model.blocks, seen, strict=True)):
            with torch.no_grad():
                query = functional.linear(block.norm_attention(x), block.query)[sequence][None]
                key, value = layer.key[sequence][None], layer.value[sequence][None]
                attended = measured_attend(query, key, value, scale=8**-0.5)
                x = block(x, None)
            recorder.take(number, attended, key, value, CAUSAL, False)
        expected, found = recorder.result(), ours[sequence]
        for name in ("entropy", "received", "sink_mass", "distance", "value_norm", "key_norm"):
            wanted = getattr(expected, name)
            np.testing.assert_allclose(getattr(found, name), wanted, rtol=2e-5, atol=2e-6, err_msg=name)
            assert getattr(found, name).shape == wanted.shape
        np.testing.assert_allclose(found.sink_baseline, expected.sink_baseline, rtol=1e-6)
        assert found.learned_sink is None and (found.window == 0).all()


@pytest.mark.parametrize("kind", ["softmax", "relu"])
def test_a_look_is_the_triad_of_the_attention_pages(task, held, kind):
    model = decoder(task, kind, n_layers=3)
    _, seen, states = seen_by(model, held.ids)
    seen_now = evaluate(model, held)
    triads = [
        triad(trace, np.stack([state[n].norm(dim=-1).numpy() for state in states]))
        for n, trace in enumerate(attention_traces(seen))
    ]
    for name in ("sink", "value_drain"):
        np.testing.assert_allclose(seen_now[name], np.mean([getattr(t, name) for t in triads], 0)[:, 0])
    for name in ("residual_token", "residual_median", "residual_max"):
        np.testing.assert_allclose(seen_now[name], np.mean([getattr(t, name) for t in triads], 0))
    # and once by hand, for the middle layer
    norms = seen[1].value.norm(dim=-1).numpy()
    drain = np.mean([norms[n, 0] / np.median(norms[n, 1:]) for n in range(len(norms))])
    assert seen_now["value_drain"][1] == pytest.approx(drain, rel=1e-6)


def test_the_two_kinds_of_queries_make_up_the_sink_mass(task, held):
    model = decoder(task)
    _, seen, _ = seen_by(model, held.ids)
    seen_now = evaluate(model, held)
    n_ordinary, n_triggers = held.is_ordinary.sum(), held.is_trigger.sum()
    assert n_ordinary + n_triggers == held.ids[:, 1:].size and n_triggers > 5
    both = (n_ordinary * seen_now["sink_ordinary"] + n_triggers * seen_now["sink_trigger"]) / (
        n_ordinary + n_triggers
    )
    mass = np.mean([trace.sink_mass[:, 0] for trace in attention_traces(seen)], axis=0)
    np.testing.assert_allclose(both, mass, rtol=1e-5)
    np.testing.assert_allclose(seen_now["row_mass"], 1.0, rtol=1e-6)
    assert abs(seen_now["sink_ordinary"] - seen_now["sink_trigger"]).max() > 1e-3


def test_rows_of_relu_attention_that_are_empty_have_no_entropy(task, held):
    model = decoder(task, "relu")
    _, seen, _ = seen_by(model, held.ids)
    seen[0].weights[:, 5:9] = 0
    empty = seen[0].weights.sum(-1) == 0
    assert empty[:, 5:9].all() and not empty.all()
    for n, trace in enumerate(attention_traces(seen)):
        np.testing.assert_array_equal(np.isnan(trace.entropy[0, 0]), empty[n].numpy())
        first = seen[0].weights[n, :, 0].double()
        assert trace.received[0, 0, 0] == pytest.approx(float(first.mean()), rel=1e-6)
        assert trace.sink_mass[0, 0] == pytest.approx(float(first[1:].mean()), rel=1e-6)


def test_risks_in_closed_form(task, held):
    n_characters = len(task.characters)
    with np.errstate(divide="ignore"):
        oracle = risks(np.log(held.truth), held)
        bigram = np.log(np.vstack([task.bigram, task.first])[held.ids])
    assert oracle["markov"] == pytest.approx(task.oracle(24).markov, abs=1e-12)
    assert oracle["backcopy"] == pytest.approx(0, abs=1e-12) and oracle["markov_error"] < 1e-12
    pairs_only = risks(np.maximum(bigram, math.log(1e-9)), held)
    assert pairs_only["markov"] == pytest.approx(task.oracle(24).markov, abs=1e-9)
    copied = [(held.ids[n, i], held.ids[n, i - 1]) for n, i in np.argwhere(held.is_trigger)]
    wrong = np.mean([-math.log(max(task.bigram[a, b], 1e-9)) for a, b in copied])
    assert pairs_only["backcopy"] == pytest.approx(wrong)
    guess = risks(np.full(held.truth.shape, -math.log(n_characters)), held)
    assert guess["backcopy"] == pytest.approx(math.log(n_characters))
    entropies = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in held.truth[held.is_ordinary]]
    expected = task.oracle(24).markov + math.log(n_characters) - np.mean(entropies)
    assert guess["markov"] == pytest.approx(expected)
    assert 0 < guess["markov_error"] < 0.5


def test_the_standard_error_is_the_spread_over_samples(task):
    """Of the risk of a guess over many sets of sequences."""

    def guess(seed):
        held = hold_out(task, task.sequences(np.random.default_rng(seed).random((12, 24)))[:, :24])
        return risks(np.full(held.truth.shape, -math.log(len(task.characters))), held)

    found = [guess(seed) for seed in range(200)]
    spread = np.std([one["markov"] for one in found])
    assert np.mean([one["markov_error"] for one in found]) == pytest.approx(spread, rel=0.2)


def test_differences_of_scores_and_means_by_character_spelled_out():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 5, 5))
    found = delta_logit(scores)
    for n in range(2):
        assert found[n, 0] == 0
        for i in range(1, 5):
            assert found[n, i] == pytest.approx(scores[n, i, 0] - scores[n, i, 1 : i + 1].mean())
    ids = np.array([[4, 0, 1, 1], [4, 3, 0, 1]])  # 4 is no character, 2 never comes
    first = rng.random((2, 3, 4))
    by = by_character(first, ids, 4)
    assert by.shape == (3, 4) and np.isnan(by[:, 2]).all()
    assert by[1, 0] == pytest.approx((first[0, 1, 1] + first[1, 1, 2]) / 2)
    assert by[2, 1] == pytest.approx((first[0, 2, 2] + first[0, 2, 3] + first[1, 2, 3]) / 3)


# Training ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def formed():
    return train_backcopy(BackcopySettings(steps=300, length=32))


@pytest.mark.slow
def test_training_reaches_the_oracle_and_forms_a_sink(formed):
    """Within 0.15 nats of the oracle, with half the default's tokens and steps."""
    uniform = float((1 / np.arange(2, 33)).mean())
    assert formed.markov[0] > formed.oracle.markov + 1.5 and formed.backcopy[0] > 3
    assert 0 < formed.markov[-1] - formed.oracle.markov < 0.15
    assert formed.backcopy[-1] < 0.15
    assert abs(formed.overall[-1] - formed.oracle.overall) < 0.15
    assert formed.sink_ordinary[0, 0] < 2 * uniform
    assert formed.sink_ordinary[-1, 0] > 0.35 and formed.sink_trigger[-1, 0] < 0.03
    assert formed.value_drain[0, 0] > 0.8 and formed.value_drain[-1, 0] < 0.5
    assert formed.delta_logit[-1, 0] > formed.delta_logit[0, 0] + 2
    assert formed.residual_peak[-1] < 1.2  # with one layer token 0's state is no peak


@pytest.mark.slow
def test_relu_attention_forms_none():
    run = train_backcopy(BackcopySettings(attention="relu", steps=300, length=32))
    assert run.markov[-1] - run.oracle.markov < 0.15 and run.backcopy[-1] < 0.3
    assert run.sink_ordinary[-1, 0] < 0.05 and run.row_mass[-1, 0] < 0.15


def test_a_run_has_the_shapes_it_says(formed, task):
    n, n_layers = len(formed.step), 1
    assert formed.step[0] == 0 and formed.step[-1] == 300 and (np.diff(formed.step) > 0).all()
    for name in ("markov", "markov_error", "backcopy"):
        assert getattr(formed, name).shape == (n,)
    for name in ("sink", "sink_ordinary", "sink_trigger", "row_mass", "delta_logit", "value_drain"):
        assert getattr(formed, name).shape == (n, n_layers)
    for name in ("residual_token", "residual_median", "residual_max"):
        assert getattr(formed, name).shape == (n, n_layers + 1)
    assert formed.by_character.shape == (n_layers, len(task.characters))
    frame = formed.to_frame()
    assert len(frame) == n * (n_layers + 1)
    last = frame.iloc[-1]
    assert last["block"] == 1 and last["step"] == 300
    assert last["value_drain"] == formed.value_drain[-1, 0]
    assert last["residual_token"] == formed.residual_token[-1, 1]
    assert frame[frame["block"] == 0]["sink"].isna().all() and not frame["residual_max"].isna().any()
    assert frame["overall_risk_nats"].iloc[-1] == pytest.approx(
        (1 - formed.oracle.trigger_share) * formed.markov[-1]
        + formed.oracle.trigger_share * formed.backcopy[-1]
    )
    row = backcopy_summary([formed]).iloc[0]
    assert row["above_oracle"] == pytest.approx(formed.markov[-1] - formed.oracle.markov)
    assert row["residual_peak"] == pytest.approx(formed.residual_token[-1, 1] / formed.residual_median[-1, 1])


def test_the_same_settings_give_the_same_run():
    settings = replace(TINY, layers=3, optimizer="sgd")
    one, two = (train_backcopy(settings) for _ in range(2))
    other = train_backcopy(replace(settings, seed=1))
    for name in ("markov", "sink_ordinary", "residual_token", "by_character"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))


def test_nothing_global_is_changed():
    torch.manual_seed(7)
    before, mode, threads = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    train_backcopy(TINY)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], mode)
    assert torch.get_num_threads() == threads and torch.is_grad_enabled()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_each_optimizer_learns(optimizer):
    run = train_backcopy(replace(TINY, optimizer=optimizer, steps=60, width=32, batch=16))
    assert run.markov[-1] < run.markov[0] - 0.8


def test_training_can_be_stopped_at_any_step():
    notes = []

    def stop(share, note):
        notes.append(note)
        assert 0 <= share <= 1
        if len(notes) == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        train_backcopy(BackcopySettings(layers=3, steps=1000), on_progress=stop)
    assert notes == [f"step {step} of 1,000" for step in range(5)]  # a stop waits for one step at most


def test_what_is_shown_meanwhile_is_the_beginning_of_the_run(monkeypatch):
    monkeypatch.setattr(backcopy_train, "_SHOW_SECONDS", 0.0)
    shown = []
    run = train_backcopy(TINY, on_partial=shown.append)
    assert [len(one.step) for one in shown] == list(range(1, len(run.step) + 1))
    for one in shown:
        np.testing.assert_array_equal(one.markov, run.markov[: len(one.step)])
        np.testing.assert_array_equal(one.residual_token, run.residual_token[: len(one.step)])
        with pytest.raises(ValueError, match="read-only"):
            one.sink_ordinary[0] = 0
        with pytest.raises(ValueError, match="read-only"):
            one.by_character[0] = 0
        with pytest.raises(FrozenInstanceError):
            one.seconds = 0.0


def test_looks_begin_and_end_with_the_run_and_stay_few():
    for steps in (1, 2, 10, 59, 60, 61, 119, 800, 20_000):
        evaluations = evaluation_steps(steps)
        assert evaluations[0] == 0 and evaluations[-1] == steps and evaluations == sorted(set(evaluations))
        assert len(evaluations) < 130


# Settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": 2},
        {"layers": 0},
        {"optimizer": "adamw"},
        {"attention": "linear"},
        {"steps": 0},
        {"steps": 10**6},
        {"steps": 10.5},
        {"steps": True},
        {"width": 4},
        {"length": 8},
        {"length": 257},
        {"batch": 0},
        {"seed": -1},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(AnalysisError) as refused:
        BackcopySettings(**wrong)
    assert refused.value.hint.startswith("Choose")


def test_every_variant_has_a_name_of_its_own():
    assert len(set(VARIANTS)) == 8 and BackcopySettings().variant == VARIANTS[0] == "1 layer, Adam, softmax"
    assert BackcopySettings(3, "sgd", "relu").variant == "3 layers, SGD, ReLU"
    assert "width 64" in BackcopySettings().subtitle and "0.003" in BackcopySettings().subtitle
