"""A sweep of one picture in a file: the same numbers again, what could not be run included; and the stored one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import analysis as an
from analysis.errors import BrokenFileError
from app.panels.visual_tokens import running
from app.panels.visual_tokens.prune import FIRST_METHODS, FIRST_SHARES
from tests.budget import rounding
from tests.visual_sweeps import made_sweep


def test_a_sweep_is_the_same_again(tmp_path):
    sweep = made_sweep()
    found = an.load_visual_sweep(sweep.save(tmp_path / "a.sweep"))
    pd.testing.assert_frame_equal(found.to_frame(), sweep.to_frame())
    for before, after in zip(sweep.settings, found.settings, strict=True):
        for name in ("gone_from", "merged_into"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert (found.question, found.n_layers, found.is_right_answer) == ("q", 4, True)


def test_a_damaged_one_is_refused(tmp_path):
    path = made_sweep().save(tmp_path / "a.sweep")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BrokenFileError):
        an.load_visual_sweep(path)
    replace(made_sweep(), n_visual=15).save(path)
    with pytest.raises(BrokenFileError):
        an.load_visual_sweep(path)


def test_the_stored_one_is_what_prune_gives_first():
    sweep, a = running.example_sweep(), running.example_answer()
    assert running.EXAMPLE_SWEEP_FILE.stat().st_size < 100_000
    assert (sweep.question, sweep.n_visual, sweep.n_layers) == (
        a.spec.question,
        a.spec.n_visual,
        a.spec.n_layers,
    )
    assert sweep.answer == a.text and sweep.is_right_answer
    ran = sweep.settings[1:]
    assert list(dict.fromkeys(s.policy for s in ran)) == list(FIRST_METHODS)
    assert {s.asked for s in ran} == set(FIRST_SHARES)
    assert [(s.policy, s.asked) for s in ran if s.why] == [("downsampling", 0.5)]  # no blocks leave 72 of 144
    full = sweep.settings[0]
    assert full.answer_logp == pytest.approx(
        -float(a.tokens.surprisal[0]), abs=rounding(a.tokens.top_logprobs[0])
    )
