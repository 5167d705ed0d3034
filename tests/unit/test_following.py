"""Runs that still go: what is read of a file that is being written, what is new, and the threshold."""

from __future__ import annotations

import json
import os
import sqlite3

import numpy as np
import pytest

from analysis.entropy_collapse.threshold import watch
from analysis.entropy_collapse.training.logs import read_training_log, read_training_logs
from analysis.entropy_collapse.training.logs.follow import news, read_log_state, stamp_of
from analysis.entropy_collapse.training.results import TrainingCurve
from analysis.errors import AnalysisError
from tests.unit import log_writers as write

OWN = write.run(30)


def lines_of(form):
    rows = list(OWN)
    if form == "jsonl":
        return [json.dumps({"step": s, "entropy": h, "reward": r}) for s, h, r in rows]
    if form == "verl":
        return [write.verl_line(s, {"actor/entropy": h, "critic/score/mean": r}) for s, h, r in rows]
    if form == "dicts":
        return [f"step {s}: {{'entropy': {h}, 'reward': {r}}}" for s, h, r in rows]
    if form == "csv":
        return ["step,entropy,reward", *(f"{s},{h},{r}" for s, h, r in rows)]
    return [f"{1_700_000_000_000 + s} {h} {s}" for s, h, _ in rows]


ENDINGS = {"jsonl": ".jsonl", "verl": ".log", "dicts": ".log", "csv": ".csv", "mlflow": ""}


@pytest.mark.parametrize("form", ENDINGS)
def test_half_a_line_is_never_read_while_it_is_written(tmp_path, form):
    """Cut anywhere, a growing log is its whole lines: a number's first half is another number."""
    path = tmp_path / f"entropy{ENDINGS[form]}"
    text = "\n".join(lines_of(form)) + "\n"
    extra = form == "csv"
    for cut in range(len(text) // 2, len(text) // 2 + 90):
        path.write_text(text[:cut])
        n = text[:cut].count("\n") - extra
        (curve,) = read_log_state(path).curves
        assert (
            curve.entropy.tolist() == OWN.entropy[:n].tolist()
            and curve.step.tolist() == OWN.step[:n].tolist()
        )
    path.write_text(text.rstrip("\n"))  # a finished file need not end in a line feed
    assert len(read_training_log(path)) == 30 and len(read_log_state(path).curves[0]) == 29


def test_what_is_appended_is_new(tmp_path):
    lines = lines_of("jsonl")
    path = write.text(tmp_path / "log.jsonl", lines[:10])
    first = read_log_state(path)
    assert stamp_of(path) == first.stamp and stamp_of(str(path)) == first.stamp
    with path.open("a") as file:
        file.write(f"{lines[10]}\n{lines[11]}\n{lines[12][:9]}")
    assert stamp_of(path) != first.stamp
    second = read_log_state(path)
    (found,) = news(first.curves, second.curves)
    assert (found.rows, found.first, found.last, found.rewritten) == (2, 11, 12, False)
    assert found.which == "2 new rows, steps 11 to 12."
    (same,) = news(second.curves, read_log_state(path).curves)
    assert (same.rows, same.which) == (0, "Nothing new.")
    (whole,) = news([], second.curves)
    assert (whole.rows, whole.first) == (12, 1)


def test_a_resumed_run_is_called_rewritten(tmp_path):
    rows = [{"step": s, "entropy": float(s)} for s in range(1, 9)]
    path = write.jsonl(tmp_path / "log.jsonl", rows)
    first = read_log_state(path)
    write.jsonl(path, [*rows, *({"step": s, "entropy": 5.0} for s in (5, 6, 7, 8, 9))])
    (found,) = news(first.curves, read_log_state(path).curves)
    assert (found.rows, found.rewritten) == (1, True) and "resumed" in found.which
    write.jsonl(path, rows[:3])
    (found,) = news(first.curves, read_log_state(path).curves)
    assert (found.rows, found.rewritten) == (0, True)


def test_the_last_step_may_still_get_rows_of_other_processes(tmp_path):
    rows = [{"step": s, "rank": r, "entropy": float(s + r)} for s in range(1, 6) for r in range(2)]
    path = write.jsonl(tmp_path / "log.jsonl", rows[:-1])
    first = read_log_state(path)
    write.jsonl(path, rows)
    second = read_log_state(path)
    assert (first.curves[0].entropy[-1], second.curves[0].entropy[-1]) == (5.0, 5.5)
    assert not news(first.curves, second.curves)[0].rewritten


def test_folders_and_databases_change_too(tmp_path):
    path = write.jsonl(tmp_path / "runs" / "a.jsonl", [{"step": 1, "entropy": 0.5}])
    first = read_log_state(tmp_path / "runs")
    write.jsonl(tmp_path / "runs" / "b.jsonl", [{"step": 1, "entropy": 0.4}])
    second = read_log_state(tmp_path / "runs")
    assert first.stamp != second.stamp and [n.rows for n in news(first.curves, second.curves)] == [0, 1]
    assert stamp_of([path, tmp_path / "runs" / "b.jsonl"]) == second.stamp
    log = write.trackio(tmp_path / "t.db", {"a": [{"entropy": 0.5, "step": 1}]})
    writer = sqlite3.connect(log)
    writer.execute("PRAGMA journal_mode = WAL")
    before = stamp_of(log)
    writer.execute(
        "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES ('', '', 'a', 2, '{}')"
    )
    writer.commit()  # the file itself stays as it is
    assert stamp_of(log) != before
    writer.close()


def test_a_growing_event_file_is_not_called_cut(tmp_path):
    path = write.events(
        tmp_path / "events.out.tfevents.1", ((1.7e9 + s, s, {"train/entropy": h}) for s, h, _ in OWN)
    )
    path.write_bytes(path.read_bytes()[:-7])
    assert any("cut short" in note for note in read_training_log(path).notes)
    (curve,) = read_log_state(path).curves
    assert len(curve) == 29 and not any("cut short" in note for note in curve.notes)


def test_nothing_there_to_follow(tmp_path):
    with pytest.raises(AnalysisError, match="no file or folder"):
        stamp_of(tmp_path / "gone")
    empty = write.text(tmp_path / "log.jsonl", [], end="")
    with pytest.raises(AnalysisError, match="is empty"):
        read_log_state(empty)
    os.truncate(empty, 0)
    (tmp_path / "half.jsonl").write_text('{"step": 1, "entr')
    with pytest.raises(AnalysisError, match="no line that is a JSON object"):
        read_log_state(tmp_path / "half.jsonl")
    assert read_training_logs(write.text(tmp_path / "ok.jsonl", lines_of("jsonl")))


# The threshold ----------------------------------------------------------------------------------------


def curve(entropy, **more):
    entropy = np.array(entropy, float)
    step = 10.0 * np.arange(1, len(entropy) + 1)
    return TrainingCurve(
        "run", "test", step, {"entropy": entropy}, {"step": "step", "entropy": "entropy"}, **more
    )


@pytest.mark.parametrize(
    ("entropy", "since", "rows", "first", "words"),
    [
        ([0.9, 0.5, 0.2, 0.1], 30, 2, 30, "is under 0.3 nats since step 30 (2 rows): 0.1 at step 40."),
        ([0.9, 0.2, 0.5, 0.1], 40, 1, 20, "since step 40 (1 row): 0.1"),
        (
            [0.9, 0.2, 0.1, 0.4],
            None,
            0,
            20,
            "is not under 0.3 nats: 0.4 at step 40. It was, first at step 20.",
        ),
        ([0.9, 0.8, 0.3], None, 0, None, "has not been under 0.3 nats: 0.3 at step 30."),
        ([0.2, np.nan, 0.1, np.nan], 10, 2, 10, "since step 10 (2 rows): 0.1 at step 30."),
    ],
)
def test_since_when_entropy_is_under_the_threshold(entropy, since, rows, first, words):
    found = watch(curve(entropy), 0.3)
    assert (found.since, found.rows, found.first) == (since, rows, first) and words in found.which


def test_what_a_threshold_cannot_be_asked():
    with pytest.raises(AnalysisError, match="summed over each answer"):
        watch(curve([30.0, 20.0], meaning="per sequence"), 0.3)
    with pytest.raises(AnalysisError, match="No row has an entropy"):
        watch(curve([np.nan]), 0.3)
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="above 0"):
            watch(curve([1.0]), bad)
