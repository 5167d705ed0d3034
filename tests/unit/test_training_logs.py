"""Training logs: files that real writers wrote, keys in order, and what is broken, mixed or huge."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.entropy_collapse.training.logs import EXAMPLES, read_training_log, read_training_logs
from analysis.entropy_collapse.training.logs.curves import settled
from analysis.errors import AnalysisError, BrokenFileError, Cancelled
from tests.unit import log_writers
from tests.unit.log_writers import jsonl

GOLDEN = Path(__file__).parents[1] / "golden" / "training_logs"
STATE = GOLDEN / "trl_grpo" / "checkpoint-40" / "trainer_state.json"


@pytest.fixture(scope="module")
def history():
    """Rows of TRL's GRPO run, read without the code under test."""
    return json.loads(STATE.read_text())["log_history"]


def column(rows, key):
    return np.array([row[key] for row in rows if key in row])


def write(path, text):
    path.write_text(text)
    return path


# Files of real writers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "source", "n", "keys", "meaning"),
    [
        (
            STATE,
            "TRL trainer_state.json",
            40,
            ("step", "entropy", "reward", "completions/mean_length"),
            "per token",
        ),
        (
            GOLDEN / "trl_grpo" / "events",
            "TensorBoard",
            40,
            ("step of the event", "train/entropy", "train/reward", "train/completions/mean_length"),
            "per token",
        ),
        (
            GOLDEN / "summary_writer",
            "TensorBoard",
            40,
            ("step of the event", "train/entropy_loss", "train/reward", "train/response_length"),
            "per token",
        ),
        (
            GOLDEN / "verl.jsonl",
            "verl JSONL",
            20,
            ("training/global_step", "actor/entropy", "critic/score/mean", "response_length/mean"),
            "per token",
        ),
        (
            GOLDEN / "verl_console.log",
            "verl console log",
            20,
            ("training/global_step", "actor/entropy", "critic/score/mean", "response_length/mean"),
            "per token",
        ),
        (
            GOLDEN / "wandb_history.parquet",
            "W&B history",
            40,
            ("train/global_step", "train/entropy", "train/reward", "train/completions/mean_length"),
            "per token",
        ),
    ],
    ids=["trl", "trl events", "summary writer", "verl", "verl console", "parquet"],
)
def test_every_format_gives_the_numbers_that_were_logged(history, log, source, n, keys, meaning):
    curve = read_training_log(log)
    rows = [row for row in history if "entropy" in row][:n]
    assert (curve.source, len(curve), curve.meaning) == (source, n, meaning)
    assert tuple(curve.chosen[c] for c in ("step", "entropy", "reward", "length")) == keys
    np.testing.assert_array_equal(curve.step, column(rows, "step"))
    np.testing.assert_allclose(curve.entropy, column(rows, "entropy"), rtol=1e-6)
    np.testing.assert_allclose(curve.reward, column(rows, "reward"), rtol=1e-6)
    np.testing.assert_allclose(curve.columns["length"], column(rows, "completions/mean_length"), rtol=1e-6)
    assert set(keys[1:]) <= set(curve.candidates)
    frame = curve.to_frame()
    assert frame["entropy"].tolist() == curve.entropy.tolist() and frame["step"].iloc[0] == 1


@pytest.mark.parametrize("log", [STATE, GOLDEN / "trl_grpo" / "events"], ids=["state", "events"])
def test_evaluation_rows_are_apart(history, log):
    curve = read_training_log(log)
    assert curve.evaluation.step.tolist() == [10, 20, 30, 40]
    np.testing.assert_allclose(curve.evaluation.entropy, column(history, "eval_entropy"), rtol=1e-6)
    np.testing.assert_allclose(curve.evaluation.reward, column(history, "eval_reward"), rtol=1e-6)
    assert curve.entropy[9] != curve.evaluation.entropy[0]


def test_verl_validation_accuracy_is_evaluation():
    curve = read_training_log(GOLDEN / "verl.jsonl")
    assert curve.evaluation.chosen["reward"] == "val-core/words/acc/mean@1"
    np.testing.assert_allclose(curve.evaluation.reward, curve.reward[[9, 19]] + 0.02)
    assert not curve.evaluation.has("entropy")


def test_tokens_and_time(history):
    rows = [row for row in history if "entropy" in row]
    state = read_training_log(STATE)
    np.testing.assert_array_equal(state.tokens, column(rows, "num_tokens"))
    np.testing.assert_allclose(state.seconds, np.cumsum(column(rows, "step_time")))
    verl = read_training_log(GOLDEN / "verl_console.log")
    np.testing.assert_array_equal(verl.x("tokens"), 448 * np.arange(1, 21))
    np.testing.assert_allclose(verl.x("time"), np.cumsum(column(rows, "step_time")[:20]))
    wandb = read_training_log(GOLDEN / "wandb_history.parquet")
    assert wandb.seconds[[0, -1]].tolist() == [7.0, 26.5] and wandb.x("tokens") is None
    events = read_training_log(GOLDEN / "summary_writer")
    assert events.seconds[0] == 0 and (np.diff(events.seconds) >= 0).all()
    # Logged every second step, a mean over two: two steps' worth each row.
    near = read_training_log(EXAMPLES["near_words"])
    every = json.loads(EXAMPLES["near_words"].read_text())["log_history"]
    np.testing.assert_allclose(near.seconds, np.cumsum(2 * column(every, "step_time")))
    with pytest.raises(ValueError, match="axis"):
        near.x("epoch")


def test_supervised_runs_have_no_reward():
    curve = read_training_log(GOLDEN / "trl_sft")
    assert curve.name == "trl_sft" and len(curve) == 10 and not curve.has("reward")
    assert np.isnan(curve.reward).all() and "The log has no reward." in curve.notes


def test_the_examples_are_there():
    near, exact = (read_training_log(path) for path in EXAMPLES.values())
    assert near.step[-1] == 200 and exact.step[-1] == 240
    for curve in (near, exact):
        assert curve.entropy[0] > 2.5 and curve.entropy[-1] < 0.1 and curve.reward[-1] > 0.95


# Keys -------------------------------------------------------------------------------------------------

ORDER = [
    ("actor/entropy", "per token"),
    ("train/entropy", "per token"),
    ("policy/entropy_avg", "per token"),
    ("actor/entropy_loss", "estimator"),
    ("train/entropy_loss", "per token"),
    ("objective/entropy", "per sequence"),
    ("opd/entropy", "per token"),
    ("val_entropy", "per token"),
]


def test_keys_are_taken_in_order(tmp_path):
    rewards = ["critic/score/mean", "reward", "critic/rewards/mean", "objective/rlhf_reward", "eval_accuracy"]
    for k, (key, meaning) in enumerate(ORDER):
        row = {name: float(i) for i, (name, _) in enumerate(ORDER[k:])} | {"eval_entropy": 9.0}
        row |= {name: 10.0 + i for i, name in enumerate(rewards[k:] or rewards[-1:])}
        curve = read_training_log(jsonl(tmp_path / f"{k}.jsonl", [{"step": s} | row for s in (1, 2)]))
        assert (curve.chosen["entropy"], curve.meaning) == (key, meaning)
        assert curve.entropy.tolist() == [0.0, 0.0] and curve.reward.tolist() == [10.0, 10.0]
        assert curve.chosen["reward"] == (rewards[k:] or rewards[-1:])[0]
        assert set(name for name, _ in ORDER[k:]) < set(curve.candidates)


def test_a_choice_by_hand_wins(tmp_path):
    rows = [{"step": s, "t": 10 * s, "entropy": 1.0, "h": 2.0 + s, "my/score": 0.1 * s} for s in range(4)]
    log = jsonl(tmp_path / "log.jsonl", rows)
    curve = read_training_log(log, entropy="h", reward="score", step="t", name="mine", temperature=0.6)
    assert curve.step.tolist() == [0, 10, 20, 30] and curve.entropy.tolist() == [2, 3, 4, 5]
    assert curve.chosen == {"entropy": "h", "reward": "my/score", "step": "t"}
    assert (curve.name, curve.meaning, curve.temperature) == ("mine", "not known", 0.6)
    assert read_training_log(log, entropy="h", meaning="per sequence").meaning == "per sequence"
    for options in ({"entropy": "nope"}, {"reward": "nope"}, {"step": "nope"}):
        with pytest.raises(AnalysisError, match="'nope'") as caught:
            read_training_log(log, **options)
        assert "entropy, my/score, h, step, t" in caught.value.hint


def test_prefixes_of_loggers_are_known(tmp_path):
    row = {
        "train/policy/entropy_avg": 0.5,
        "train/objective/entropy": 40.0,
        "train/objective/rlhf_reward": 1.0,
    }
    curve = read_training_log(jsonl(tmp_path / "a.jsonl", [{"step": 1} | row]))
    assert curve.chosen["entropy"] == "train/policy/entropy_avg"
    assert curve.chosen["reward"] == "train/objective/rlhf_reward"
    # Held-out keys are never taken for training ones, whatever they end in.
    row = {"eval/completions/mean_length": 5.0, "eval/reward": 0.3, "rollout/entropy": 0.2}
    curve = read_training_log(jsonl(tmp_path / "b.jsonl", [{"step": 1} | row]))
    assert curve.meaning == "not known" and any("rollout/entropy is no key" in n for n in curve.notes)
    assert "length" not in curve.columns and not curve.has("reward") and curve.evaluation.has("reward")


def test_sums_over_sequences_are_flagged(tmp_path):
    curve = read_training_log(jsonl(tmp_path / "p.jsonl", [{"episode": 8, "objective/entropy": 31.0}]))
    assert curve.meaning == "per sequence" and curve.step.tolist() == [8]
    assert any("summed over each answer" in note for note in curve.notes)


def test_missing_keys_say_what_is_there(tmp_path):
    log = jsonl(tmp_path / "log.jsonl", [{"step": 1, "loss": 0.1, "input": "text", "score": 1}])
    with pytest.raises(AnalysisError, match="no column that is known to be an entropy") as caught:
        read_training_log(log)
    assert caught.value.hint.endswith("It holds: score, loss, step.")


# Other shapes -----------------------------------------------------------------------------------------


def test_hyperfitting_results(tmp_path):
    logs = [{"update_counter": 5 * k, "val_entropy": 2.0 - k, "val_loss": 1.0} for k in range(3)]
    curve = read_training_log(write(tmp_path / "results.json", json.dumps({"config": {}, "logs": logs})))
    assert curve.step.tolist() == [0, 5, 10] and curve.entropy.tolist() == [2, 1, 0]
    assert curve.evaluation is None and any("held-out" in note for note in curve.notes)


def test_wandb_panels_hold_several_runs(tmp_path):
    header = '"Step","a b - train/entropy","a b - train/entropy__MIN","a b - train/entropy__MAX","c - train/entropy"'
    log = write(tmp_path / "panel.csv", f"{header}\n1,0.5,0.5,0.5,0.9\n2,0.4,0.4,0.4,\n3,0.3,0.3,0.3,0.7\n")
    with pytest.raises(AnalysisError, match="2 runs: a b, c"):
        read_training_log(log)
    curves = read_training_logs(log)
    assert [c.name for c in curves] == ["a b", "c"] and curves[0].chosen["entropy"] == "train/entropy"
    np.testing.assert_array_equal(read_training_log(log, name="c").entropy, [0.9, np.nan, 0.7])
    other = write(tmp_path / "reward.csv", '"Step","c - train/reward"\n1,0.1\n2,0.2\n3,0.3\n')
    entropy = write(tmp_path / "entropy.csv", '"Step","c - train/entropy"\n1,0.9\n2,0.8\n3,0.7\n')
    both = read_training_log([entropy, other])
    assert both.entropy.tolist() == [0.9, 0.8, 0.7] and both.reward.tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_any_table_with_columns_by_hand(tmp_path, delimiter):
    rows = [
        ["when", "note", "H nats", "r"],
        ["3", "x", "0.5", "1"],
        ["7", "", "", "2"],
        ["9", "y", "0.3", "3"],
    ]
    text = "\ufeff" + "\r\n".join(delimiter.join(row) for row in rows)
    curve = read_training_log(write(tmp_path / "t.csv", text), entropy="H nats", reward="r", step="when")
    np.testing.assert_array_equal(curve.entropy, [0.5, np.nan, 0.3])
    assert curve.step.tolist() == [3, 7, 9] and curve.reward.tolist() == [1, 2, 3]
    uncounted = read_training_log(tmp_path / "t.csv", entropy="H nats")
    assert uncounted.step.tolist() == [1, 2, 3] and any("counted from 1" in n for n in uncounted.notes)
    with pytest.raises(BrokenFileError, match="table of numbers"):
        read_training_log(tmp_path / "t.csv", entropy="note")


def test_parquet_by_hand(tmp_path):
    table = {
        "it": [1, 2, 3],
        "h": [0.5, None, float("nan")],
        "name": ["a", "b", "c"],
        "ok": [True, False, True],
    }
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    curve = read_training_log(tmp_path / "t.parquet", entropy="h", step="it", reward="ok")
    np.testing.assert_array_equal(curve.entropy, [0.5, np.nan, np.nan])
    assert curve.reward.tolist() == [1, 0, 1] and "name" not in curve.candidates


# Gaps, restarts, mixed steps --------------------------------------------------------------------------


def test_gaps_stay_open(tmp_path):
    values = [0.5, None, 0.4, float("nan"), 0.3]
    rows = [{"step": k, "data": {"actor/entropy": v, "critic/score/mean": 0.1}} for k, v in enumerate(values)]
    curve = read_training_log(jsonl(tmp_path / "log.jsonl", rows))
    np.testing.assert_array_equal(curve.entropy, [0.5, np.nan, 0.4, np.nan, 0.3])
    assert curve.rows_of("entropy").tolist() == [0, 1, 2, 3, 4]
    # A reward logged every fourth step is no curve full of gaps.
    rows = [{"step": k, "entropy": 1.0} | ({"reward": 0.5} if k % 4 == 0 else {}) for k in range(9)]
    curve = read_training_log(jsonl(tmp_path / "rare.jsonl", rows))
    assert curve.rows_of("reward").tolist() == [0, 4, 8] and np.isnan(curve.reward).sum() == 6


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ([1, 2, 3], [0, 1, 2]),
        ([1, 2, 2, 3], [0, 2, 3]),  # twice the same: the later
        ([1, 3, 2, 4], [0, 2, 1, 3]),  # out of order only: sorted
        ([1, 2, 3, 4, 3, 4, 5], [0, 1, 4, 5, 6]),  # resumed from a checkpoint
        ([1, 2, 3, 4, 5, 1, 2], [5, 6]),  # another run, shorter: nothing of the first is left
    ],
)
def test_mixed_steps(step, expected):
    (own, value), back = settled(np.array(step, float), np.arange(len(step), dtype=float))
    assert value.tolist() == expected and own.tolist() == [step[k] for k in expected]
    assert back == (len(expected) < len(step) and step != sorted(step))


def test_a_restart_is_said(tmp_path):
    rows = [{"step": s, "entropy": v} for v, s in enumerate([1, 2, 3, 2, 3])]
    curve = read_training_log(jsonl(tmp_path / "log.jsonl", rows))
    assert curve.entropy.tolist() == [0, 3, 4] and any("begin again once" in n for n in curve.notes)


# Folders ----------------------------------------------------------------------------------------------


def test_the_newest_checkpoint_is_the_run(tmp_path):
    for name, n in (("checkpoint-9", 9), ("checkpoint-10", 10), ("checkpoint-2", 2)):
        (tmp_path / "run" / name).mkdir(parents=True)
        rows = [{"step": k, "entropy": 1 / k} for k in range(1, n + 1)]
        write(tmp_path / "run" / name / "trainer_state.json", json.dumps({"log_history": rows}))
    curve = read_training_log(tmp_path / "run")
    assert curve.name == "run" and len(curve) == 10


def test_two_runs_in_one_folder(tmp_path):
    for name, factor in (("a", 1.0), ("b", 2.0)):
        jsonl(tmp_path / f"{name}.jsonl", [{"step": k, "entropy": factor * k} for k in range(3)])
    jsonl(tmp_path / "rollouts.jsonl", [{"input": "x", "output": "y", "score": 1.0}])
    write(tmp_path / "readme.txt", "nothing")
    with pytest.raises(AnalysisError, match=r"2 runs: a\.jsonl, b\.jsonl"):
        read_training_log(tmp_path)
    first, second = read_training_logs(tmp_path)
    assert (first.entropy[2], second.entropy[2]) == (2, 4)
    assert "Left out of the folder" in first.notes[-1] and "rollouts.jsonl" in first.notes[-1]
    assert read_training_log(tmp_path, name="b.jsonl").entropy[2] == 4
    # The same run in a second format is not a second run.
    jsonl(tmp_path / "copy.jsonl", [{"step": k, "data": {"actor/entropy": 2.0 * k}} for k in range(3)])
    assert [c.name for c in read_training_logs(tmp_path)] == ["a.jsonl", "b.jsonl"]


def events(folder, number, steps, values):
    """An event file of one tag."""
    found = [(2.0, step, {"train/entropy": value}) for step, value in zip(steps, values, strict=True)]
    return log_writers.events(folder / f"events.out.tfevents.{number}.host", found)


def test_event_files_side_by_side(tmp_path):
    events(tmp_path / "resumed", 1, [1, 2, 3, 4], [8, 7, 6, 5])
    events(tmp_path / "resumed", 2, [3, 4, 5], [4, 3, 2])
    curve = read_training_log(tmp_path / "resumed")
    assert curve.step.tolist() == [1, 2, 3, 4, 5] and curve.entropy.tolist() == [8, 7, 4, 3, 2]
    events(tmp_path / "two", 1, [1, 2, 3], [8, 7, 6])
    events(tmp_path / "two", 2, [1, 2], [5, 4])
    first, second = read_training_logs(tmp_path / "two")
    assert (first.name, second.name) == ("two (1)", "two (2)")
    assert first.entropy.tolist() == [8, 7, 6] and second.entropy.tolist() == [5, 4]


def test_tensorflow_2_scalars_are_tensors(tmp_path):

    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.util.tensor_util import make_tensor_proto

    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
    value = Summary.Value(tag="entropy", tensor=make_tensor_proto(np.float32(0.25)), metadata=metadata)
    event = Event(wall_time=1.0, step=3, summary=Summary(value=[value]))
    curve = read_training_log(log_writers.framed(tmp_path / "events.out.tfevents.1", [event]))
    assert curve.step.tolist() == [3] and curve.entropy.tolist() == [0.25]


# Broken -----------------------------------------------------------------------------------------------


def test_a_cut_state_is_one_error(tmp_path):
    text = STATE.read_text()
    for cut in (len(text) // 2, len(text) - 3):
        with pytest.raises(BrokenFileError, match=r"cut short or no valid JSON \(line"):
            read_training_log(write(tmp_path / "trainer_state.json", text[:cut]))


def test_the_readable_part_of_lines_is_kept(tmp_path):
    text = (GOLDEN / "verl.jsonl").read_text()
    curve = read_training_log(write(tmp_path / "log.jsonl", text[: len(text) * 3 // 4]))
    assert 13 <= len(curve) <= 16 and "The last line is cut short and left out." in curve.notes
    lines = text.splitlines()
    lines[4] = "oops"
    lines[6] = "[1, 2]"
    curve = read_training_log(write(tmp_path / "log.jsonl", "\n".join(lines)))
    assert len(curve) == 18 and any("2 of 20 lines" in note for note in curve.notes)
    table = write(tmp_path / "log.csv", "step,entropy,reward\n1,0.5,1\n2,0.4,1\n3,0.")
    curve = read_training_log(table)
    assert curve.entropy.tolist() == [0.5, 0.4] and any("left out" in note for note in curve.notes)


def test_a_cut_or_damaged_event_file_is_read_as_far_as_it_goes(tmp_path):
    data = events(tmp_path, 1, range(1, 101), np.linspace(3, 1, 100)).read_bytes()
    path = tmp_path / "events.out.tfevents.2"
    path.write_bytes(data[: len(data) // 2])
    curve = read_training_log(path)
    assert 45 <= len(curve) <= 55 and any("cut short" in note for note in curve.notes)
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    curve = read_training_log(path)
    assert 45 <= len(curve) <= 55 and any("damaged" in note for note in curve.notes)
    np.testing.assert_allclose(curve.entropy, np.linspace(3, 1, 100)[: len(curve)], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", b" \n", "is empty"),
        ("log.pkl", b"\x80\x04\x95\x00", "pickle"),
        ("training_args.bin", b"PK\x03\x04....", "never opened"),
        ("log.jsonl.gz", b"\x1f\x8b\x08", "compressed"),
        ("log.csv", "step,entropy\n1,2\n".encode("utf-16"), "UTF-8"),
        ("log.txt", b"just some words\nand more", "known here"),
        ("config.json", b'{"hidden_size": [1], "a": {"b": 2}}', "no list of rows"),
        ("deep.json", b"[" * 100_000, "cut short or no valid JSON"),
        ("log.jsonl", b"1\n2\n3\n", "known here|no line"),
        ("cut.parquet", (GOLDEN / "wandb_history.parquet").read_bytes()[:900], "damaged or cut short"),
        ("log.json", b'{"log_history": []}', "no column"),
        ("log.json", b'{"log_history": [1, null, "x"]}', "no column"),
        ("log.csv", b"step,entropy,entropy\n1,2,3\n", "two columns"),
        ("log.csv", b"x" * 200_000 + b",y\n1,2\n", "known here"),
        (
            "runs.csv",
            b"Step," + b",".join(b"r%d - train/entropy" % k for k in range(65)) + b"\n1\n",
            "65 runs",
        ),
        ("log.jsonl", b'{"step": 1, "entropy": NaN}\n{"step": 2, "entropy": NaN}\n', "no number"),
    ],
)
def test_bad_files_are_one_clear_error(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AnalysisError, match=message) as caught:
        read_training_log(path)
    assert caught.value.hint and str(tmp_path) not in str(caught.value)


def test_nothing_there(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing.json", "a\0b", "x" * 5000, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(AnalysisError, match="no file or folder at"):
            read_training_log(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnalysisError, match="no file that looks like"):
        read_training_log(tmp_path / "empty")
    jsonl(tmp_path / "a.jsonl", [{"loss": 1}])
    jsonl(tmp_path / "b.jsonl", [{"loss": 1}])
    with pytest.raises(AnalysisError, match="No training log can be read"):
        read_training_logs(tmp_path)
    with pytest.raises(AnalysisError, match="No file"):
        read_training_log([])


def test_odd_numbers_become_gaps_or_values(tmp_path):
    text = '{"step": 1, "entropy": 1e999, "reward": true}\n{"step": 2, "entropy": "NaN", "reward": 2}\n'
    text += '{"step": 3, "entropy": 0.5, "reward": "text"}\n' + '{"step": 4, "entropy": 1' + "0" * 400 + "}\n"
    curve = read_training_log(write(tmp_path / "log.jsonl", text))
    np.testing.assert_array_equal(curve.entropy, [np.nan, np.nan, 0.5, np.nan])
    np.testing.assert_array_equal(curve.reward, [1, 2, np.nan, np.nan])


# Large ------------------------------------------------------------------------------------------------

_READ = """
import re, sys
from pathlib import Path
from analysis.entropy_collapse.training.logs import read_training_log
reports = []
curve = read_training_log(sys.argv[1], on_progress=lambda share, what: reports.append(share))
# Not getrusage: that remembers the size of the process that started this one.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(len(curve), curve.entropy.sum(), len(reports), peak)
"""


@pytest.mark.slow
def test_half_a_gigabyte_of_csv_is_streamed(tmp_path):
    path = tmp_path / "large.csv"
    filler = ",".join(["0.123456789012345"] * 60)
    names = ",".join(f"metric_{k}" for k in range(60))
    n = 0
    with path.open("w") as file:
        file.write(f"step,{names},actor/entropy,critic/score/mean\n")
        while file.tell() < 500_000_000:
            file.write("".join(f"{k},{filler},{0.5 + k % 2},0.25\n" for k in range(n, n + 10_000)))
            n += 10_000
    out = subprocess.run([sys.executable, "-c", _READ, str(path)], capture_output=True, text=True, check=True)
    path.unlink()
    rows, total, reports, peak_kb = (float(word) for word in out.stdout.split())
    assert rows == n and total == n  # half 0.5, half 1.5
    assert peak_kb < 1_000_000 and reports > 50


def test_reading_can_be_cancelled(tmp_path):
    path = write(tmp_path / "log.csv", "step,entropy\n" + "".join(f"{k},1.0\n" for k in range(2_000_000)))

    def report(share, what):
        if share > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        read_training_log(path, on_progress=report)


def test_the_checksum_that_is_borrowed_from_tensorboard_is_tfrecord_s():
    """It is no public function of tensorboard; seen on 2.21.0. CRC-32C, turned by 15 bits, plus a constant."""
    from analysis.entropy_collapse.training.logs.event_files import is_event_file

    def masked(data: bytes) -> int:
        crc = 0xFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        crc ^= 0xFFFFFFFF
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    length = struct.pack("<Q", 24)
    assert is_event_file(length + struct.pack("<I", masked(length)) + b"rest")
    assert not is_event_file(length + struct.pack("<I", masked(length) ^ 1) + b"rest")
    assert not is_event_file(length)
