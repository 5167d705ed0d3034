"""The shipped adapter: its text, that it can be made again, and that it does what its card says."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import analysis as an
from analysis.comparison.adapters import adapter_path, attached
from analysis.comparison.lighthouse import CARD, FOLDER, LIGHTHOUSE
from analysis.comparison.lighthouse.passages import N_HELD_OUT, N_TRAINING, UNRELATED, held_out, training
from analysis.comparison.lighthouse.train import STRENGTHS, Measured, Recipe, card, measure, store, train
from tests.tiny_models.families import save_tiny

SHIPS = re.compile(r"\b(?:brig|schooner|ketch|barque|lugger|steamer) ([A-Z]\w+(?: [A-Z]\w+)?)")


def test_entries_are_many_and_different():
    seen, unseen = training(), held_out()
    assert (len(seen), len(unseen)) == (N_TRAINING, N_HELD_OUT) and len({*seen, *unseen}) == 80
    assert all(400 < len(text) < 620 for text in seen + unseen)
    assert not [text for text in seen + unseen if re.search(r"[{}]|\.\.|  |\. [a-z]", text)]


def test_no_ship_that_is_held_out_sails_in_training():
    there, here = (
        {name for text in texts for name in SHIPS.findall(text)} for texts in (training(), held_out())
    )
    assert len(there) >= 6 and len(here) >= 3 and not there & here
    assert not [text for text in training() if re.search("Aldous|Penhale|Quennell", text)]


def test_what_is_shipped_is_one_pair_a_layer_and_small():
    assert adapter_path(LIGHTHOUSE) == FOLDER
    held = load_file(FOLDER / "adapter_model.safetensors")
    settings = json.loads((FOLDER / "adapter_config.json").read_text())
    assert settings["peft_type"] == "LORA" and settings["r"] == Recipe().rank
    assert len(held) == 30 * 2 * 2 and sum(t.numel() for t in held.values()) == 460_800
    assert {t.dtype for t in held.values()} == {torch.float16}
    assert (FOLDER / "adapter_model.safetensors").stat().st_size <= 1_000_000


def rows_of_the_card() -> dict[float, Measured]:
    rows = re.findall(r"^\| ([\d.]+ \|(?: [\d.]+ \|){5})$", CARD.read_text(encoding="utf-8"), re.M)
    numbers = [[float(cell) for cell in row.split("|")[:-1]] for row in rows]
    return {row[0]: Measured(*row) for row in numbers}


def test_the_card_tells_every_strength_and_is_what_the_script_writes():
    text, told = CARD.read_text(encoding="utf-8"), rows_of_the_card()
    assert [*told] == [*STRENGTHS]
    took = float(re.search(r"(\d+) seconds", text)[1])
    assert card(Recipe(), [*told.values()], 460_800, took) == text
    assert "64 invented passages" in text and "no better model" in text


def test_the_card_shows_its_gain_and_what_it_costs():
    told = rows_of_the_card()
    assert told[0].held_out_surprisal - told[0.5].held_out_surprisal > 0.5
    assert told[1].unrelated_surprisal > told[0.5].unrelated_surprisal > told[0].unrelated_surprisal - 0.1


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return an.load_model(str(save_tiny("llama", tmp_path_factory.mktemp("base") / "llama", seed=3)))


def test_training_lowers_the_surprisal_of_its_text_and_leaves_the_model_alone(tiny, tmp_path):
    before = {name: weight.clone() for name, weight in tiny.model.state_dict().items()}
    recipe, texts = Recipe(rank=4, alpha=8, batch=4, epochs=3), [text[:160] for text in training()[:8]]
    matrices = train(tiny, texts, recipe)
    assert all(torch.equal(weight, before[name]) for name, weight in tiny.model.state_dict().items())
    assert not any(module._forward_hooks for module in tiny.model.modules())
    store(matrices, recipe, tmp_path)
    plain, tuned = (_surprisal(tiny, tmp_path, strength) for strength in (0.0, 1.0))
    assert tuned < plain - 0.1
    again = train(tiny, texts, recipe)
    assert all(torch.equal(matrix, again[name]) for name, matrix in matrices.items())


def _surprisal(model, folder, strength) -> float:
    with attached(model, folder, strength) as tuned:
        return an.summary(
            an.trace(tuned, training()[0][:160], attention=False, spectra=False).tokens
        ).mean_surprisal


def test_the_card_is_written_from_what_was_measured():
    measured = [Measured(0.5, 1, 2, 3, 4, 5.678)]
    text = card(Recipe(epochs=3), measured, 1234, 56.7)
    assert "| 0.50 | 1.00 | 2.00 | 3.00 | 4.00 | 5.68 |" in text
    assert "96 steps" in text and "1,234 numbers" in text and "57 seconds" in text and "{" not in text


@pytest.mark.embedded
def test_it_does_what_it_was_made_for(smollm2):
    """On four of the held-out entries: half the strength takes most of the surprise, and whole strength forgets."""

    def mean(texts, strength):
        with attached(smollm2, LIGHTHOUSE, strength) as tuned:
            runs = [an.trace(tuned, text, attention=False, spectra=False).tokens for text in texts]
        return sum(float(run.surprisal[1:].sum()) for run in runs) / sum(len(run) - 1 for run in runs)

    log, other = held_out()[:4], UNRELATED[:2]
    before = an.trace(smollm2, log[0], attention=False, spectra=False)
    assert mean(log, 0.5) < mean(log, 0.0) - 0.5
    assert mean(other, 1.0) > mean(other, 0.5) + 0.02
    after = an.trace(smollm2, log[0], attention=False, spectra=False)
    np.testing.assert_array_equal(after.final_states, before.final_states)


@pytest.mark.embedded
@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.5])
def test_the_card_says_what_is_measured_again(smollm2, strength):
    told, found = rows_of_the_card()[strength], measure(smollm2, FOLDER, strength)
    for name in vars(told):
        assert getattr(found, name) == pytest.approx(getattr(told, name), abs=0.02), name
