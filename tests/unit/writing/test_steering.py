"""Steering against what the library's own parts give by hand."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch

import analysis as an
from analysis.errors import AnalysisError, Cancelled
from analysis.writing.prompt import prompt_of
from analysis.writing.steering import SteeringVector, steer, steered, steering_vector
from tests.budget import EXACT, PLAINLY, rounding

PROMPTS = ["The cat", "Two and two", "What now? Yes or no:"]
CHOICES = ("a", "b", "c")


def by_hand(model, prompt, layer):
    """The last state after a layer, and the probabilities of the choices' first tokens, from the library."""
    ids = torch.tensor([prompt_of(model, prompt).ids])
    with model.lock, torch.inference_mode():
        out = model.model(input_ids=ids, output_hidden_states=True)
    first = [model.tokenizer(c, add_special_tokens=False)["input_ids"][0] for c in CHOICES]
    return out.hidden_states[layer][0, -1].double().numpy(), out.logits[0, -1].double().softmax(-1)[
        first
    ].numpy()


def test_the_vector_is_weighted_by_entropy(llama):
    found = steering_vector(llama, PROMPTS, CHOICES, layer=1)
    states, probabilities = zip(*(by_hand(llama, p, 1) for p in PROMPTS), strict=True)
    share = np.array(probabilities) / np.sum(probabilities, -1, keepdims=True)
    entropy = -(share * np.log(share)).sum(-1)
    assert found.entropy == pytest.approx(entropy, abs=rounding(1.0)) and (found.entropy <= log(3)).all()
    want = sum(h * s for h, s in zip(entropy, states, strict=True)) / entropy.sum() - np.mean(states, 0)
    assert found.vector == pytest.approx(want, abs=rounding(np.array(states)))
    assert found.state_norm == pytest.approx(np.mean([np.linalg.norm(s) for s in states]), rel=1e-5)
    assert found.to_frame("bits")["choice_entropy_bits"].to_numpy() == pytest.approx(
        found.entropy / log(2), rel=EXACT
    )
    assert found.layer == 1 and "not known here" in found.known


def test_at_the_last_layer_it_is_what_the_norm_and_the_head_make_of_the_sum(llama):
    last = len(llama.anatomy.layers)
    push = np.linspace(-1, 1, llama.info.hidden_size, dtype=np.float32)
    vector = SteeringVector(last, push, CHOICES, np.zeros(2), 1.0)
    found = steer(llama, PROMPTS, vector, [0, 2.0, -1.0])
    first = [llama.tokenizer(c, add_special_tokens=False)["input_ids"][0] for c in CHOICES]
    caught = []
    handle = llama.anatomy.layers[-1].register_forward_hook(
        lambda _m, _a, out: caught.append(out[0] if isinstance(out, tuple) else out)
    )
    for p, prompt in enumerate(PROMPTS):
        ids = torch.tensor([prompt_of(llama, prompt).ids])
        with llama.lock, torch.inference_mode():
            llama.model(input_ids=ids)
            state = caught[-1][0, -1]
            for s, strength in enumerate([0, 2.0, -1.0]):
                logits = llama.model.lm_head(
                    llama.model.model.norm(state + strength * torch.from_numpy(push))
                )
                want = logits.double().softmax(-1)[first].numpy()
                assert found.probabilities[s, p] == pytest.approx(want, abs=rounding(logits))
    handle.remove()
    assert found.mass == pytest.approx(found.probabilities.sum(-1), rel=EXACT)
    frame = found.to_frame("bits")
    assert len(frame) == 9 and frame["choice_entropy_bits"][0] == pytest.approx(
        found.entropy[0, 0] / log(2), rel=EXACT
    )
    assert frame["p b"][4] == found.probabilities[1, 1, 1]


def test_strength_0_changes_nothing_and_nothing_stays(llama):
    before = an.trace(llama, "The cat sat.").tokens.entropy
    vector = steering_vector(llama, PROMPTS, CHOICES)
    found = steer(llama, PROMPTS, vector, [0.0, 3.0])
    plain = np.array([by_hand(llama, p, 1)[1] for p in PROMPTS])
    near = rounding(1.0)
    assert found.probabilities[0] == pytest.approx(plain, abs=near)
    assert np.abs(found.probabilities[1] - plain).max() > PLAINLY * near
    np.testing.assert_array_equal(before, an.trace(llama, "The cat sat.").tokens.entropy)


def test_it_stops_and_leaves_no_hook(llama):
    def stop(_share, _what):
        raise Cancelled

    layer = llama.anatomy.layers[0]
    before = set(layer._forward_hooks)
    with pytest.raises(Cancelled), steered(llama, 1, torch.zeros(llama.info.hidden_size)):
        raise Cancelled
    with pytest.raises(Cancelled):
        steer(
            llama,
            PROMPTS,
            SteeringVector(1, np.ones(llama.info.hidden_size, np.float32), CHOICES, np.zeros(1), 1.0),
            [1],
            stop,
        )
    assert set(layer._forward_hooks) == before


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: steering_vector(m, PROMPTS, CHOICES, layer=0),
        lambda m: steering_vector(m, PROMPTS, CHOICES, layer=99),
        lambda m: steering_vector(m, [], CHOICES),
        lambda m: steering_vector(m, ["x", ""], CHOICES),
        lambda m: steering_vector(m, PROMPTS[:1], CHOICES),
        lambda m: steering_vector(m, PROMPTS, ["a"]),
        lambda m: steering_vector(m, PROMPTS, ["a", "a"]),
        lambda m: steering_vector(m, [PROMPTS[0]] * 2, CHOICES),
        lambda m: steer(
            m, PROMPTS, SteeringVector(1, np.ones(3, np.float32), CHOICES, np.zeros(1), 1.0), [1]
        ),
        lambda m: steer(m, PROMPTS, steering_vector(m, PROMPTS, CHOICES), []),
        lambda m: steer(m, PROMPTS, steering_vector(m, PROMPTS, CHOICES), [float("nan")]),
        lambda m: steer(m, ["x" * 99_999], steering_vector(m, PROMPTS, CHOICES), [1]),
    ],
)
def test_what_does_not_fit_is_said(llama, wrong):
    with pytest.raises(AnalysisError) as raised:
        wrong(llama)
    assert raised.value.message and raised.value.hint
