"""Stored results that the app shows before anything is computed: whole, of the default settings, and small."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from analysis.entropy_collapse.labs import example_runs
from analysis.entropy_collapse.labs.backcopy.results import BackcopySettings
from analysis.entropy_collapse.labs.backcopy.task import shipped_task
from analysis.entropy_collapse.labs.four_squares.results import EVALUATION_ARRAYS, STEP_ARRAYS, LabSettings
from analysis.pruning_effects.compression import example
from analysis.pruning_effects.compression.results import FULL, WITHOUT


@pytest.mark.parametrize("path", [example_runs.FOUR_SQUARES, example_runs.BACKCOPY, example.FILE])
def test_they_are_small(path):
    assert path.stat().st_size < 300_000


def test_four_squares_are_the_default_runs():
    runs = example_runs.four_squares_example()
    assert [run.settings.intervention.name for run in runs] == list(example_runs.INTERVENTIONS)
    usual = LabSettings()
    assert all((r.settings.seed, r.settings.steps) == (usual.seed, usual.steps) for r in runs)
    for run in runs:
        assert all(getattr(run, name).shape == (usual.steps,) for name in STEP_ARRAYS)
        assert all(getattr(run, name).shape == run.evaluated.shape for name in EVALUATION_ARRAYS)
        assert run.evaluated[0] == 0 and run.evaluated[-1] == usual.steps
        assert (run.fork_entropy[:5] > run.follower_entropy[:5]).all()
        assert run.token_entropy[-1] < run.token_entropy[0] and run.pass_1[-1] > run.pass_1[0]


def test_backcopy_is_the_default_run_of_the_shipped_task():
    run, task = example_runs.backcopy_example(), shipped_task()
    assert run.settings == BackcopySettings() and run.step[-1] == run.settings.steps
    assert (run.characters, run.triggers) == (task.characters, tuple(task.triggers))
    oracle = task.oracle(run.settings.length)
    for field in fields(oracle):
        assert getattr(run.oracle, field.name) == pytest.approx(getattr(oracle, field.name))
    assert run.sink.shape == (len(run.step), run.settings.layers) and run.by_character.shape[1] == len(
        task.characters
    )
    assert run.backcopy[-1] < 0.1 < run.backcopy[0]


def test_the_compression_is_that_of_the_example_text():
    sweep = example.example_sweep()
    frame = sweep.to_frame()
    asked = frame[~frame["method"].isin([FULL, WITHOUT])]
    assert set(asked["method"]) == set(example.CHOSEN) and set(asked["kept"]) == set(example.KEPT)
    assert (sweep.text, sweep.question, sweep.answer) == (example.CONTEXT, example.QUESTION, example.ANSWER)
    for reading in sweep.readings:
        one = reading.compressed
        assert one.text == "".join(example.CONTEXT[a:b] for a, b in one.spans)
        assert one.keep.shape == one.scores.shape == one.cell.shape == (one.n_original,)
        assert one.n_tokens <= one.budget
    assert sweep.nll_without > sweep.nll_full > 0


def test_what_is_stored_comes_back(tmp_path, monkeypatch):
    before = example.example_sweep()
    monkeypatch.setattr(example, "FILE", tmp_path / "again.npz")
    example.store(before)
    after = example.example_sweep()
    assert after.to_frame().equals(before.to_frame()) and after.unavailable == before.unavailable
    for a, b in zip(before.readings, after.readings, strict=True):
        np.testing.assert_array_equal(a.compressed.scores, b.compressed.scores)
        assert a.compressed.cell_text == b.compressed.cell_text and a.compressed.note == b.compressed.note
