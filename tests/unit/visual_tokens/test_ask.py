"""An answer and where it looked, against the library's own eager attention."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

import analysis as an
from analysis.models.attention_choice import attention_name
from analysis.results.spectra import eigenvalue_shares, renyi_entropy
from analysis.results.validate import check_trace
from analysis.visual_tokens.ask import ask
from analysis.visual_tokens.measures import modality_balance
from analysis.visual_tokens.parts import language_part
from tests.budget import MATRIX_ENTROPY, STATES, WEIGHT, WIDE
from tests.tiny_models.vision import FAMILIES
from tests.tiny_models.vision_model import QUESTION, tiny_vision_model

N_NEW = 3


@pytest.fixture(scope="module")
def answered():
    made = {}

    def make(family: str):
        if family not in made:
            vlm = tiny_vision_model(family)
            made[family] = vlm, ask(vlm, an.scene(4).image, QUESTION, max_new=N_NEW)
        return made[family]

    return make


def by_the_library(vlm):
    """Greedy tokens with the maps of the language model's own eager attention, and states, of every step."""
    prepared = vlm.prepare(an.scene(4).image, QUESTION)
    part = language_part(vlm.model)
    part.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            return prepared, vlm.model.generate(
                **prepared.inputs,
                max_new_tokens=N_NEW + 1,
                do_sample=False,
                eos_token_id=None,
                output_attentions=True,
                output_hidden_states=True,
                output_logits=True,
                return_dict_in_generate=True,
            )
    finally:
        part.set_attn_implementation("sdpa")


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_looks_where_the_library_says(answered, family):
    """Row t predicted token t: the prompt's last for the first, then one step's each; windows and two-way blocks too."""
    vlm, a = answered(family)
    prepared, out = by_the_library(vlm)
    n = prepared.n_prompt
    new = out.sequences[0, n:].tolist()
    assert a.trace.tokens.token_id.tolist() == new[: len(a.tokens)]
    assert len(a.tokens) == next((i + 1 for i, t in enumerate(new[:N_NEW]) if t == 2), N_NEW)
    visual, newline = a.prompt.visual, np.array(a.prompt.kind) == "newline"
    assert (
        a.looking.attention.shape
        == (len(a.tokens), 4, 4, len(visual))
        == (*a.looking.share_first.shape, len(visual))
    )
    for t, layer in np.ndindex(len(a.tokens), 4):
        keys = out.attentions[t][layer][0, :, -1].numpy()
        row = np.zeros((4, n + t))
        row[:, n + t - keys.shape[1] :] = keys
        close = {"atol": WIDE * WEIGHT, "rtol": 0}
        np.testing.assert_allclose(a.looking.attention[t, layer], row[:, visual], **close)
        np.testing.assert_allclose(a.looking.mean[t, layer], row[:, visual].mean(0), **close)
        np.testing.assert_allclose(a.looking.share_visual[t, layer], row[:, visual].sum(1), **close)
        np.testing.assert_allclose(a.looking.share_newlines[t, layer], row[:, :n][:, newline].sum(1), **close)
        np.testing.assert_allclose(a.looking.share_first[t, layer], row[:, 0], **close)
        seen = (row > 0).all(0) & ~np.concatenate([newline, np.zeros(t, bool)])
        is_visual = np.isin(np.arange(n + t), visual)
        expected = modality_balance(row.mean(0)[None, seen], is_visual[seen])
        found = a.looking.mdi[t, layer], a.looking.aei[t, layer]
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert attention_name(language_part(vlm.model)) == "sdpa"


@pytest.mark.parametrize("family", FAMILIES)
def test_its_rows_make_the_layers_outputs(family):
    """In float64, under the library's masks: weights of a wrong mask, scale or row would not."""
    vlm = tiny_vision_model(family, dtype=torch.float64)
    a = ask(vlm, an.scene(4).image, QUESTION, max_new=2)
    rows, outputs, logits = a.checks
    assert rows.error < 1e-12 and outputs.error < 1e-12 and logits.passed


@pytest.mark.parametrize("family", FAMILIES)
def test_the_written_tokens_are_a_run(answered, family):
    vlm, a = answered(family)
    check_trace(a.trace)
    prepared, out = by_the_library(vlm)
    log_p = torch.stack(out.logits).squeeze(1).double().log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1).numpy()
    n = len(a.tokens)
    np.testing.assert_allclose(a.tokens.entropy, entropy[:n], atol=1e-4)
    assert abs(a.trace.next.entropy - entropy[n]) < 1e-4
    np.testing.assert_allclose(a.tokens.surprisal, -log_p.amax(-1)[:n].numpy(), atol=1e-4)
    assert (a.tokens.context == prepared.n_prompt + np.arange(n)).all() and (a.tokens.rank == 1).all()
    for t in range(n):
        norm = float(out.hidden_states[t + 1][2][0, -1].norm())
        assert abs(a.trace.layers.residual_norm[2, t] - norm) < WIDE * STATES * norm
    assert all(check.passed for check in a.checks)


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_those_of_the_prompt(answered, family):
    vlm, a = answered(family)
    _, out = by_the_library(vlm)
    text = np.flatnonzero([kind in ("text", "special") for kind in a.prompt.kind])
    for layer in range(4 if family != "qwen3_vl" else 1):  # adds features of its tower after a layer's output
        states = out.hidden_states[0][layer][0].numpy()
        for found, expected in (
            (a.layers.matrix_entropy_visual, states[a.prompt.visual]),
            (a.layers.matrix_entropy_text, states[text]),
            (a.layers.matrix_entropy_text_without_first, states[text[1:]]),
        ):
            assert abs(found[layer] - renyi_entropy(eigenvalue_shares(expected))) < WIDE * MATRIX_ENTROPY
        norms = np.linalg.norm(states[a.prompt.visual], axis=1)
        np.testing.assert_allclose(a.layers.norms[layer], norms, rtol=WIDE * STATES)
    assert len(a.layers.matrix_entropy_visual) == 5 and np.isfinite(a.layers.matrix_entropy_visual).all()
    assert (
        np.isfinite(a.layers.transition).all()
        and ((a.layers.patch_entropy >= 0) & (a.layers.patch_entropy <= 1)).all()
    )


def test_a_models_own_settings_change_nothing(answered):
    """A penalty on what was said before would write another text; the settings come back."""
    vlm, a = answered("qwen2_5_vl")
    own = GenerationConfig(
        repetition_penalty=9.0, eos_token_id=2, bad_words_ids=[[int(a.tokens.token_id[0])]]
    )
    before, vlm.model.generation_config = vlm.model.generation_config, own
    try:
        again = ask(vlm, an.scene(4).image, QUESTION, max_new=N_NEW)
        assert vlm.model.generation_config is own
    finally:
        vlm.model.generation_config = before
    assert (again.tokens.token_id == a.tokens.token_id).all()
