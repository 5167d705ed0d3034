"""Logs of many trainers and dashboards: each read with its own steps, keys and meaning."""

from __future__ import annotations

import json
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest

from analysis.entropy_collapse.training.law import law_of
from analysis.entropy_collapse.training.logs import read_training_log, read_training_logs
from analysis.errors import AnalysisError, BrokenFileError
from tests.golden.make_offline_run import N_STEPS
from tests.golden.make_offline_run import entropy as logged_entropy
from tests.golden.make_offline_run import reward as logged_reward
from tests.unit import log_writers as write

OFFLINE = Path(__file__).parents[1] / "golden" / "training_logs" / "run-golden.wandb"


def check(curve, run, *, rtol=0.0):
    np.testing.assert_array_equal(curve.step, run.step)
    np.testing.assert_allclose(curve.entropy, run.entropy, rtol=rtol)
    np.testing.assert_allclose(curve.reward, run.reward, rtol=rtol)


def keys(curve):
    return tuple(curve.chosen[name] for name in ("step", "entropy", "reward"))


# A row a line -----------------------------------------------------------------------------------------

LINES = {
    "llama-factory": (
        lambda s, h, r: {"current_steps": s, "total_steps": 900, "entropy": h, "reward": r, "epoch": s / 100,
                         "percentage": 1.0, "elapsed_time": "0:01:02", "total_tokens": 100 * s},
        ("current_steps", "entropy", "reward"), "per token",
    ),
    "ms-swift": (
        lambda s, h, r: {"loss": 0.0, "entropy/mean": h, "entropy/max": 3 * h, "entropy/min": 0.0, "reward": r,
                         "global_step/max_steps": f"{s}/900", "remaining_time": "2h 5m"},
        ("global_step/max_steps", "entropy/mean", "reward"), "per token",
    ),
    "skyrl": (
        lambda s, h, r: {"trainer/global_step": s, "policy/policy_entropy": h, "reward/avg_raw_reward": r},
        ("trainer/global_step", "policy/policy_entropy", "reward/avg_raw_reward"), "per token",
    ),
    "nemo-rl": (
        lambda s, h, r: {"step": s, "train/approx_entropy": h, "train/reward": r, "validation/accuracy": 0.1},
        ("step", "train/approx_entropy", "train/reward"), "estimator",
    ),
    "easyr1": (
        lambda s, h, r: {"step": s, "actor": {"entropy_loss": h, "lr": 1e-6}, "reward": {"overall": r, "format": 1}},
        ("step", "actor/entropy_loss", "reward/overall"), "estimator",
    ),
    "quoted numbers": (
        lambda s, h, r: {"step": str(s), "entropy": repr(h), "reward": repr(r)},
        ("step", "entropy", "reward"), "per token",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "own", [write.run(), write.run(9, 10, 10), write.run(12, 0, 5)], ids=["1", "10", "from 0"]
)
@pytest.mark.parametrize("name", LINES)
def test_rows_of_many_trainers(tmp_path, name, own):
    row, expected, meaning = LINES[name]
    curve = read_training_log(write.jsonl(tmp_path / "log.jsonl", (row(*values) for values in own)))
    check(curve, own)
    assert (keys(curve), curve.meaning) == (expected, meaning)
    assert not any("counted from 1" in note for note in curve.notes)


def test_tokens_of_llama_factory(tmp_path):
    row = LINES["llama-factory"][0]
    curve = read_training_log(write.jsonl(tmp_path / "log.jsonl", (row(*values) for values in write.run(5))))
    assert curve.tokens.tolist() == [100, 200, 300, 400, 500]


# What is printed --------------------------------------------------------------------------------------


def trl(own, *, total=600, quoted=False, before=(), after=()):
    """A dict a row, and below it the progress bar that is drawn again; an evaluation after the tenth."""
    lines = ["Loading checkpoint shards: 100%|##########| 2/2 [00:01<00:00]", *before]
    for k, (step, h, r) in enumerate(own):
        row = {"loss": 0.0, "grad_norm": 0.3, "reward": r, "entropy": h, "epoch": step / 100}
        shown = {key: f"{v!r}" for key, v in row.items()} if quoted else row
        lines.append(f"\r {k}%|#    | {step}/{total} [00:36<1:00:00,  6.1s/it]\r      \r{shown}")
        lines.append(f"\r {k}%|#    | {step}/{total} [00:36<1:00:00,  6.1s/it]")
        if k == 9:
            lines += [f"\r 50%|##   | {i}/4 [00:00<00:03]" for i in range(1, 5)]
            lines.append(f"{{'eval_entropy': {2 * h}, 'eval_runtime': 3.1, 'epoch': {step / 100}}}")
            lines.append(f"\r {k}%|#    | {step}/{total} [00:36<1:00:00,  6.1s/it]")
    return [
        *lines,
        *after,
        "{'train_runtime': 100.0, 'train_loss': 0.1}",
        f"100%|##| {total}/{total} [1:00:00<00:00]",
    ]


@pytest.mark.parametrize("quoted", [False, True], ids=["numbers", "quoted"])
@pytest.mark.parametrize("own", [write.run(), write.run(20, 10, 10)], ids=["every step", "every tenth"])
def test_the_progress_bar_tells_the_steps_of_printed_dicts(tmp_path, own, quoted):
    curve = read_training_log(write.text(tmp_path / "nohup.log", trl(own, quoted=quoted)))
    check(curve, own)
    assert keys(curve) == ("progress bar", "entropy", "reward") and curve.source == "printed dicts"
    assert curve.evaluation.step.tolist() == [own.step[9]]
    assert curve.evaluation.entropy.tolist() == [2 * own.entropy[9]]


def test_without_a_bar_rows_with_an_entropy_are_counted(tmp_path):
    own = write.run(12)
    lines = [line for line in trl(own) if "/it]" not in line or line.count("{")]
    lines = [line.rpartition("\r")[2] for line in lines if "| " not in line.rpartition("\r")[2]]
    curve = read_training_log(write.text(tmp_path / "out.txt", lines))
    check(curve, own)
    assert any("counted from 1" in note for note in curve.notes)
    assert curve.evaluation.step.tolist() == [10]  # the row before it, not the eleventh


PRINTED = {
    "openrlhf": ("(PPOTrainer pid=7) 2025-05-02 10:00:03.000 INFO  ✨ Global step {s}: {row}", "global_step"),
    "colours": ("\x1b[36m(TaskRunner pid=31)\x1b[0m step {s}: {row}", "step"),
    "brackets": ("[2026-04-15 07:57:53] [step={s}] {row} done", "step"),
    "iteration": ("INFO Iteration {s}/900 | {row}", "iteration"),
    "own step": ("[rank0] 07:57:53 {row}", "global_step"),
    "ms-swift": ("Train:  1%|    | {s}/900 [00:36<1:00:00]\r{row}", "global_step/max_steps"),
}


@pytest.mark.parametrize("name", PRINTED)
@pytest.mark.parametrize("style", ["python", "json", "tensors"])
def test_printed_rows_with_a_step_beside_them(tmp_path, name, style):
    own = write.run(14, 4, 2)
    line, counter = PRINTED[name]

    def row(s, h, r):
        values = {"policy_loss": 0.01, "entropy_loss": h, "reward": r, "note": "{not a row}"}
        values |= {"own step": {"global_step": s}, "ms-swift": {"global_step/max_steps": f"{s}/900"}}.get(
            name, {}
        )
        if style == "json":
            return json.dumps(values)
        shown = repr(values)
        if style == "tensors":
            shown = shown.replace(repr(h), f"tensor({h!r}, device='cuda:0')").replace(
                repr(r), f"np.float64({r!r})"
            )
            shown = shown.replace("0.01", "nan")
        return shown

    lines = ["Config: {'lr': 1e-6, 'names': ['a'], 'kind': <Kind.A: 1>}", "some {text that never closes"]
    lines += [line.replace("{s}", str(s)).replace("{row}", row(s, h, r)) for s, h, r in own]
    curve = read_training_log(write.text(tmp_path / "console.log", lines))
    check(curve, own)
    assert keys(curve) == (counter, "entropy_loss", "reward")


def test_a_file_of_dicts_is_no_broken_json(tmp_path):
    own = write.run(12)
    rows = [repr({"loss": 0.0, "reward": r, "entropy": h}) for _, h, r in own]
    for name in ("log.txt", "log.log", "log.out"):
        check(read_training_log(write.text(tmp_path / name, rows)), own)
    with pytest.raises(BrokenFileError, match="cut short"):
        read_training_log(
            write.text(tmp_path / "s.json", ['{"log_history": [{"step": 1, "entropy": 1.0}, {"st'])
        )


def test_critics_are_no_steps_of_the_policy(tmp_path):
    own = write.run(12, 0)
    lines = []
    for s, h, r in own:
        lines.append(f"data.py:120 - rollout {s}: {{'rollout/raw_reward': {r}}}")
        lines.append(
            f"model.py:500 - critic-step {s}: {{'train/critic-loss': 1.0, 'train/entropy_loss': 9.0}}"
        )
        lines.append(f"model.py:500 - step {s}: {{'train/loss': 0.1, 'train/entropy': {h}}}")
    check(read_training_log(write.text(tmp_path / "c.log", lines)), own)


# Tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas(tmp_path, delimiter):
    own = write.run(15, 1)
    rows = list(own)
    log = write.csv(tmp_path / "t.csv", ("step", "entropy", "reward"), rows, delimiter, ",")
    check(read_training_log(log), own)
    text = log.read_text().replace(delimiter, '","').replace("\n", '"\n"')
    log.write_text(f'"{text[:-1]}')
    assert text.startswith('step","entropy') and '"0,8' not in log.read_text().splitlines()[0]
    check(read_training_log(log), own)  # between quotes, in a table with commas
    small = write.text(tmp_path / "s.csv", ["step;entropy", "1;2,5e-1", "2;,125", "3;"])
    np.testing.assert_array_equal(read_training_log(small).entropy, [0.25, 0.125, np.nan])


@pytest.mark.parametrize("cell", ["0.5", "1.234,5"])
def test_commas_and_points_in_one_table_are_refused(tmp_path, cell):
    log = write.text(tmp_path / "t.csv", ["step;entropy", "1;0,25", f"2;{cell}"])
    with pytest.raises(BrokenFileError, match="table of numbers"):
        read_training_log(log)


RUNS_TABLES = [
    [
        "Name,State,Created,Runtime,train/entropy",
        "a,finished,2025-01-01,3600,0.3",
        "b,crashed,2025-01-02,12,0.5",
    ],
    ["Name;State;User;Sweep;_step;entropy", "a;running;me;;400;0,3"],
    ["Start Time,Duration,Run ID,Name,Source Type,User,Status,entropy", "1,2,3,a,L,me,FINISHED,0.4"],
]


@pytest.mark.parametrize("lines", RUNS_TABLES, ids=["wandb", "with a step", "mlflow"])
def test_a_table_of_runs_is_no_log(tmp_path, lines):
    with pytest.raises(AnalysisError, match="table of runs") as caught:
        read_training_log(write.text(tmp_path / "runs.csv", lines))
    assert "step by step" in caught.value.hint


def test_a_log_that_names_its_run_is_no_table_of_runs(tmp_path):
    log = write.text(tmp_path / "t.csv", ["step,name,runtime,entropy", "1,a,3,0.5", "2,a,6,0.4"])
    assert read_training_log(log).entropy.tolist() == [0.5, 0.4]


def download(path, own, column):
    rows = ((1.7e9 + s, s, v) for s, v in zip(own.step.tolist(), getattr(own, column).tolist(), strict=True))
    return write.csv(path, ("Wall time", "Step", "Value"), rows)


def test_a_download_of_tensorboard(tmp_path):
    own = write.run(20, 3, 3)
    curve = read_training_log(download(tmp_path / "data.csv", own, "entropy"))
    assert curve.step.tolist() == own.step.tolist() and curve.entropy.tolist() == own.entropy.tolist()
    assert curve.meaning == "not known" and any("does not name its metric" in note for note in curve.notes)
    assert curve.seconds[-1] == 57
    assert read_training_log(tmp_path / "data.csv", entropy="Value").entropy.tolist() == own.entropy.tolist()
    named = read_training_log(download(tmp_path / "run-.-tag-train_entropy.csv", own, "entropy"))
    assert (named.chosen["entropy"], named.meaning) == ("entropy", "per token")
    with pytest.raises(AnalysisError, match="no column that is known"):
        read_training_log(download(tmp_path / "run-a-tag-train_reward.csv", own, "reward"))


def test_downloads_are_joined_by_the_run_in_their_names(tmp_path):
    first, second = write.run(20), write.run(25, 2, 2)
    for name, own in (("one", first), ("two", second)):
        for column, tag in (("reward", "critic_score_mean"), ("entropy", "actor_entropy")):
            download(tmp_path / f"run-{name}-tag-{tag}.csv", own, column)
    curves = read_training_logs(tmp_path)
    assert [c.name for c in curves] == ["one", "two"]
    check(curves[0], first)
    check(curves[1], second)
    files = sorted(tmp_path.glob("*.csv"))
    check(read_training_log(files, name="two"), second)
    plain = tmp_path / "plain"
    pair = [download(plain / f"{column}.csv", first, column) for column in ("entropy", "reward")]
    check(read_training_log(pair), first)
    check(read_training_log(plain), first)


# MLflow and Trackio -----------------------------------------------------------------------------------


def test_mlflow_folders(tmp_path):
    own, other = write.run(20), write.run(10, 5, 5)
    for name, found in (("good one", own), ("", other)):
        series = {"train/reward": dict(zip(found.step.tolist(), found.reward.tolist(), strict=True)),
                  "train/entropy": dict(zip(found.step.tolist(), found.entropy.tolist(), strict=True)),
                  "system/gpu": {0: float("nan")}}  # fmt: skip
        write.mlflow_run(tmp_path / "mlruns" / "0" / f"id{len(found.step)}", series, name)
    curves = read_training_logs(tmp_path / "mlruns")
    assert [c.name for c in curves] == ["0/id10", "good one"] and curves[0].source == "MLflow"
    check(curves[0], other)
    check(curves[1], own)
    assert (
        curves[1].seconds[-1] == pytest.approx(0.25 * 19) and curves[1].chosen["step"] == "step of the value"
    )
    metrics = tmp_path / "mlruns" / "0" / "id20" / "metrics"
    for folder in (metrics.parent, metrics, metrics / "train"):
        check(read_training_log(folder), own)
    both = [metrics / "train" / key for key in ("entropy", "reward")]
    check(read_training_log(both), own)
    alone = read_training_log(both[0])
    assert alone.entropy.tolist() == own.entropy.tolist() and not alone.has("reward")


@pytest.mark.parametrize("version", ["new", "old"])
def test_trackio_databases(tmp_path, version):
    first, second = write.run(20, 10, 10), write.run(15, 0)
    rows = {
        "b": ({"train/entropy": h, "train/reward": r, "train/global_step": s} for s, h, r in first),
        "a": ({"entropy": h, "reward": r, "note": "text", "x": "Infinity"} for _, h, r in second),
    }
    log = write.trackio(tmp_path / "words.db", rows, version)
    before = log.read_bytes()
    curves = read_training_logs(log)
    assert [c.name for c in curves] == ["b", "a"] and curves[0].source == "Trackio"
    check(curves[0], first)
    check(curves[1], second)  # no counter of the trainer: calls of log
    assert [c.chosen["step"] for c in curves] == ["train/global_step", "_step"]
    assert curves[0].seconds.tolist() == list(range(20))
    assert log.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["words.db"]
    assert [c.name for c in read_training_logs(tmp_path)] == ["b", "a"]


def test_a_database_that_is_being_written(tmp_path):
    own = write.run(10)
    log = write.trackio(tmp_path / "w.db", {"a": ({"entropy": h, "reward": r, "step": s} for s, h, r in own)})
    writer = sqlite3.connect(log)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute(
        "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES ('id of a', '', 'a', 10, ?)",
        (json.dumps({"entropy": 0.5, "reward": 0.6, "step": 11}),),
    )
    writer.commit()  # lies in the log beside the file
    assert read_training_log(log).step.tolist() == [*range(1, 12)]
    writer.close()


def test_mlflow_databases(tmp_path):
    first, second = write.run(20), write.run(8, 3, 3)
    log = write.mlflow_database(tmp_path / "mlflow.db", {"one": first, "two": second})
    curves = read_training_logs(log)
    assert [c.name for c in curves] == ["one", "two"]
    check(curves[0], first)
    check(curves[1], second)


def test_mlflow_keeps_0_for_what_is_no_number(tmp_path):
    log = write.mlflow_database(tmp_path / "mlflow.db", {"one": write.run(4)})
    with sqlite3.connect(log) as connection:
        for value, step, is_nan in ((0.0, 5, 1), (1.7976931348623157e308, 6, 0), (0.25, 7, 0)):
            row = ("train/entropy", value, 1_700_000_002_000 + step, "uuid one", step, is_nan)
            connection.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.close()
    curve = read_training_log(log)
    np.testing.assert_array_equal(curve.entropy[3:], [write.run(4).entropy[3], np.nan, np.nan, 0.25])
    assert curve.meaning == "per token" and curve.candidates == (
        "train/entropy",
        "train/reward",
        "step",
        "_timestamp",
    )


def test_other_databases_are_refused(tmp_path):
    for name, statement in (
        ("empty.db", "CREATE TABLE t (x)"),
        ("view.db", "CREATE VIEW metrics AS SELECT 'a' AS run_name, 1 AS step, '{}' AS metrics"),
    ):
        with sqlite3.connect(tmp_path / name) as connection:
            connection.execute(statement)
        connection.close()
        with pytest.raises(BrokenFileError, match="without the table of Trackio or MLflow"):
            read_training_log(tmp_path / name)
    log = write.trackio(tmp_path / "cut.db", {"a": [{"entropy": 1.0}] * 300})
    log.write_bytes(log.read_bytes()[:5000])
    with pytest.raises(BrokenFileError, match=r"damaged|cannot be read"):
        read_training_log(log)
    with pytest.raises(BrokenFileError, match="holds no values"):
        read_training_log(write.trackio(tmp_path / "none.db", {}))


# Offline runs of W&B ----------------------------------------------------------------------------------


def test_an_offline_run_that_its_own_package_wrote():
    curve = read_training_log(OFFLINE)
    steps = range(1, N_STEPS + 1)
    assert curve.step.tolist() == [5 * s for s in steps] and curve.name == "golden run"
    assert curve.entropy.tolist() == [logged_entropy(s) for s in steps]
    assert curve.reward.tolist() == [logged_reward(s) for s in steps]
    assert (curve.meaning, curve.assumed) == ("per token", "")  # its configuration says so
    assert any("loss_agg_mode token-mean" in note for note in curve.notes)
    assert curve.columns["gradient norm"].tolist() == [0.5] * N_STEPS  # a nested key
    assert curve.evaluation.step.tolist() == [300] and curve.evaluation.reward.tolist() == [0.25]
    fit = law_of(curve)
    assert (fit.a, fit.b) == (pytest.approx(0.2), pytest.approx(0.8))


def test_beside_an_offline_run_nothing_is_read(tmp_path):
    folder = tmp_path / "offline-run-20260101_000000-golden"
    (folder / "files").mkdir(parents=True)
    (folder / "run-golden.wandb").write_bytes(OFFLINE.read_bytes())
    write.text(folder / "files" / "output.log", ["{'loss': 0.1, 'entropy': 0.5}"] * 3)
    curve = read_training_log(tmp_path)
    assert curve.name == "golden run" and not any("Left out" in note for note in curve.notes)


@pytest.mark.parametrize("share", [0.3, 0.69, 0.95])
def test_an_offline_run_that_is_cut_or_damaged(tmp_path, share):
    data = OFFLINE.read_bytes()
    at = int(share * len(data))
    path = tmp_path / "run.wandb"
    for content, word in (
        (data[:at], "cut short"),
        (data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :], "damaged"),
    ):
        path.write_bytes(content)
        curve = read_training_log(path)
        n = len(curve)
        assert share * 40 < n <= 60 and curve.entropy.tolist() == [logged_entropy(s + 1) for s in range(n)]
        assert any(word in note for note in curve.notes), curve.notes


def test_an_offline_run_without_history(tmp_path):
    path = tmp_path / "run.wandb"
    for content in (OFFLINE.read_bytes()[:7], OFFLINE.read_bytes()[:60], b":W&B\xe1\xbe\x00" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(BrokenFileError, match="holds no history"):
            read_training_log(path)
    path.write_bytes(struct.pack("<4sHB", b":W&B", 0xBEE1, 7) + bytes(20))
    with pytest.raises(BrokenFileError):
        read_training_log(path)  # a later version of the format


# Paths ------------------------------------------------------------------------------------------------


def test_pasted_paths(tmp_path):
    log = write.jsonl(tmp_path / "my log.jsonl", [{"step": 1, "entropy": 0.5}])
    quoted = [f"  {log} ", f'"{log}"', f" '{log}'\n", log.as_uri(), f"file://localhost{log}"]
    assert all(read_training_log(path).entropy.tolist() == [0.5] for path in quoted)
    odd = write.jsonl(tmp_path / "'odd'", [{"step": 1, "entropy": 0.25}])
    assert read_training_log(str(odd)).entropy.tolist() == [0.25]
    with pytest.raises(AnalysisError, match="no file or folder"):
        read_training_log(f'"{log}')
    with pytest.raises(AnalysisError, match="folder among files"):
        read_training_log([log, tmp_path])


# Odd content ------------------------------------------------------------------------------------------


def test_times_that_are_none(tmp_path):
    metric = write.text(
        tmp_path / "entropy", ["1700000000000 0.5 1", "9999999999999999 0.4 2", "1700000000002 0.3 3"]
    )
    assert read_training_log(metric).entropy.tolist() == [0.5, 0.4, 0.3]
    rows = ["Wall time,Step,Value", "1.7e9,1,0.5", "nan,2,0.4", "1e300,3,0.3"]
    assert read_training_log(write.text(tmp_path / "entropy.csv", rows)).entropy.tolist() == [0.5, 0.4, 0.3]


@pytest.mark.parametrize("content", ["\ufeff", "\ufeff \n", "\x1c\n"])
def test_nothing_but_blanks_is_empty(tmp_path, content):
    with pytest.raises(BrokenFileError, match="is empty"):
        read_training_log(write.text(tmp_path / "log.jsonl", [content], end=""))


def test_a_database_with_odd_letters(tmp_path):
    log = write.trackio(tmp_path / "t.db", {"a": [{"entropy": 0.5, "step": 1}]})
    with sqlite3.connect(log) as connection:
        connection.execute("UPDATE metrics SET run_name = CAST(x'61ff' AS TEXT)")
    connection.close()
    assert read_training_log(log).name == "a\ufffd"


def test_lines_that_would_take_for_ever_are_passed_over(tmp_path):
    own = write.run(5)
    lines = ["{" * 5_000_000, "{'a': " * 200_000, "'" * 100_001 + "{"]
    lines += [f"step {s}: {{'entropy': {h}, 'reward': {r}}}" for s, h, r in own]
    check(read_training_log(write.text(tmp_path / "console.log", lines)), own)
