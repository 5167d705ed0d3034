"""What the numbers of a log mean: whose they are, what counts them, and what they were put together from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.entropy_collapse.training.law import LawRefusedError, law_of
from analysis.entropy_collapse.training.logs import read_training_log, read_training_logs
from analysis.entropy_collapse.training.logs.pairing import count_alike, in_time
from analysis.entropy_collapse.training.logs.raw import Series
from analysis.entropy_collapse.training.onset import collapse_onset
from analysis.errors import AnalysisError
from tests.unit import log_writers as write

# Several files of several runs -------------------------------------------------------------------------

FIRST, SECOND = write.run(30), write.run(20, 2, 2, 0.5)


def panels(folder, *, order=("a-run", "b - run"), x=("Step", "Step"), before=""):
    runs = dict(zip(("a-run", "b - run"), (FIRST, SECOND), strict=True))
    for name, metric, column, axis in (
        ("entropy", "actor/entropy", "entropy", x[0]),
        ("reward", "critic/score/mean", "reward", x[1]),
    ):
        names = order if column == "reward" else reversed(order)
        values = {
            run: dict(zip(runs[run].step.tolist(), getattr(runs[run], column).tolist(), strict=True))
            for run in names
        }
        write.panel(folder / f"{name}.csv", metric, values, axis, before)
    return [folder / "entropy.csv", folder / "reward.csv"]


@pytest.mark.parametrize("before", ["", "name: "])
def test_panels_are_joined_by_the_runs_in_their_columns(tmp_path, before):
    files = panels(tmp_path, before=before)
    for found in (read_training_logs(files), read_training_logs(files[::-1]), read_training_logs(tmp_path)):
        by_name = {curve.name: curve for curve in found}
        assert sorted(by_name) == ["a-run", "b - run"]
        for name, own in (("a-run", FIRST), ("b - run", SECOND)):
            known = np.isfinite(by_name[name].entropy)
            np.testing.assert_array_equal(by_name[name].step[known], own.step)
            np.testing.assert_array_equal(by_name[name].entropy[known], own.entropy)
            np.testing.assert_array_equal(by_name[name].reward[known], own.reward)
    with pytest.raises(AnalysisError, match="2 runs: "):
        read_training_log(files)
    assert read_training_log(files, name=f"{before}b - run").reward[1] == SECOND.reward[0]
    fit = law_of(read_training_log(files, name="a-run"))
    assert (fit.a, fit.b) == (pytest.approx(write.A), pytest.approx(write.B))


def test_a_panel_beside_a_file_that_names_no_run(tmp_path):
    entropy, _ = panels(tmp_path)
    plain = write.jsonl(tmp_path / "reward.jsonl", ({"Step": s, "reward": r} for s, _, r in FIRST))
    with pytest.raises(AnalysisError, match=r"reward\.jsonl names no run, and the other files hold 2"):
        read_training_log([entropy, plain])
    values = {"only": dict(zip(FIRST.step.tolist(), FIRST.entropy.tolist(), strict=True))}
    one = write.panel(tmp_path / "one.csv", "entropy", values)
    curve = read_training_log([one, plain])
    assert curve.name == "only" and curve.reward.tolist() == FIRST.reward.tolist()


def test_a_run_without_an_entropy_is_said(tmp_path):
    entropy, reward = panels(tmp_path)
    write.panel(reward, "reward", {"a-run": {1: 0.5, 2: 0.6}, "c": {1: 0.7}})
    curves = read_training_logs([entropy, reward])
    assert [c.name for c in curves] == ["b - run", "a-run"]
    assert any("Left out: c has no column" in note for note in curves[0].notes)


# Two counters -----------------------------------------------------------------------------------------

N, UPDATES = 60, 4


def updates(k):
    return 0.9 * np.exp(-k / 100)


def rewarded(rollout):
    """Made from the policy that wrote the rollout: the one before its first update."""
    return write.B - write.A * np.exp(updates(UPDATES * rollout))


def slime(first, *, tags=True, start=0.0):
    """Event by event what slime logs: a rollout ``first`` or after its updates."""
    for r in range(N):
        time = 1.7e9 + 100 * r + start
        rollout = (
            time + (0 if first else 90),
            r,
            {"rollout/raw_reward": rewarded(r)} | ({"rollout/step": r} if tags else {}),
        )
        if first:
            yield rollout
        for k in range(UPDATES):
            step = UPDATES * r + k
            yield (
                time + 10 + k,
                step,
                {"train/entropy_loss": updates(step)} | ({"train/step": step} if tags else {}),
            )
        if not first:
            yield rollout


def check_paired(curve, *, rel=1e-5):
    assert len(curve) == N * UPDATES and np.isfinite(curve.reward).sum() == N
    known = np.isfinite(curve.reward)
    assert curve.step[known].tolist() == [UPDATES * r for r in range(N)]
    fit = law_of(curve)
    assert (fit.a, fit.b) == (pytest.approx(write.A, rel=rel), pytest.approx(write.B, rel=rel))
    assert any("not compared by number" in note for note in curve.notes)


@pytest.mark.parametrize("tags", [True, False], ids=["named counters", "nameless"])
@pytest.mark.parametrize("first", [True, False], ids=["rollout first", "updates first"])
def test_event_folders_with_two_counters(tmp_path, first, tags):
    write.events(tmp_path / "events.out.tfevents.1.host", slime(first, tags=tags))
    check_paired(read_training_log(tmp_path, reward="rollout/raw_reward"))
    curve = read_training_log(tmp_path)
    check_paired(curve)
    assert curve.chosen["step"] == ("train/step" if tags else "step of the event")
    assert curve.seconds[-1] == pytest.approx(5903)  # of the entropy, first to last


def test_two_counters_in_two_event_files(tmp_path):
    """The trainer and the rollouts are processes of their own, each with its file."""
    for number, word in ((1, "rollout"), (2, "train")):
        own = (event for event in slime(True) if all(tag.startswith(word) for tag in event[2]))
        write.events(tmp_path / f"events.out.tfevents.{number}.host", own)
    check_paired(read_training_log(tmp_path))


def test_a_run_that_was_resumed_keeps_its_pairs(tmp_path):
    found = list(slime(True))
    half = len(found) // 2
    write.events(tmp_path / "events.out.tfevents.1", found[: half + 25])
    write.events(tmp_path / "events.out.tfevents.2", ((t + 1e4, s, v) for t, s, v in found[half:]))
    curve = read_training_log(tmp_path)
    assert any("begin again" in note for note in curve.notes)
    check_paired(curve)


def rows_of_two_counters(first, extra=lambda k: {}):
    for k, (_, step, scalars) in enumerate(slime(first, tags=False)):
        counter = "train/step" if "train/entropy_loss" in scalars else "rollout/step"
        yield {counter: step, **scalars, **extra(k)}


@pytest.mark.parametrize(
    "extra", [lambda k: {}, lambda k: {"_step": k, "_runtime": 2.0 * k}], ids=["jsonl", "W&B"]
)
@pytest.mark.parametrize("first", [True, False], ids=["rollout first", "updates first"])
def test_rows_with_two_counters(tmp_path, first, extra):
    rows = list(rows_of_two_counters(first, extra))
    check_paired(read_training_log(write.jsonl(tmp_path / "log.jsonl", rows)), rel=1e-9)
    columns = {key: [row.get(key) for row in rows] for key in dict.fromkeys(k for row in rows for k in row)}
    pq.write_table(pa.table(columns), tmp_path / "history.parquet")
    check_paired(read_training_log(tmp_path / "history.parquet"), rel=1e-9)


@pytest.mark.parametrize("first", [True, False], ids=["rollout first", "updates first"])
def test_printed_rows_with_two_counters(tmp_path, first):
    lines = []
    for _, step, scalars in slime(first, tags=False):
        label = "step" if "train/entropy_loss" in scalars else "rollout"
        lines.append(f"(TrainActor pid=9) [2026-04-15 08:01:53] data.py:120 - {label} {step}: {scalars}")
    check_paired(read_training_log(write.text(tmp_path / "slime.log", lines)), rel=1e-9)


def test_counters_that_nothing_puts_together(tmp_path):
    files = panels(tmp_path, x=("train/step", "rollout/step"))
    curve = read_training_log(files, name="a-run")
    assert not curve.has("reward") and curve.chosen["step"] == "train/step"
    assert any("Reward cannot be paired with entropy" in note for note in curve.notes)
    with pytest.raises(LawRefusedError, match="no reward"):
        law_of(curve)
    # In a log that was written key by key, named counters are as far apart.
    found = list(slime(True))
    apart = [e for word in ("train", "rollout") for e in found if next(iter(e[2])).startswith(word)]
    write.events(
        tmp_path / "e" / "events.out.tfevents.1", ((1.7e9 + k, s, v) for k, (_, s, v) in enumerate(apart))
    )
    curve = read_training_log(tmp_path / "e")
    assert not curve.has("reward") and any("cannot be paired" in note for note in curve.notes)


def test_one_counter_stays_one_however_it_was_written(tmp_path):
    own = write.run(40)
    by_step = [(1.7e9 + s, s, {"train/entropy": h, "train/reward": r}) for s, h, r in own]
    by_key = [
        (1.7e9 + k, s, {key: v[key]})
        for key in ("train/entropy", "train/reward")
        for k, (_, s, v) in enumerate(by_step)
    ]
    rare = [
        (t, s, {k: v for k, v in tags.items() if k == "train/entropy" or s % 5 == 0})
        for t, s, tags in by_step
    ]
    for name, found in (("step", by_step), ("key", by_key), ("rare", rare)):
        curve = read_training_log(write.events(tmp_path / name / "events.out.tfevents.1", found))
        known = np.isfinite(curve.reward)
        assert curve.step[known].tolist() == [s for s in own.step.tolist() if name != "rare" or s % 5 == 0]
        assert not any("counters" in note for note in curve.notes)


def test_a_named_counter_is_believed_however_late_a_value_came(tmp_path):
    own = write.run(40)
    late = [{"step": s, "entropy": h} for s, h, _ in own]
    for k, (s, _, r) in enumerate(own):  # rewards come ten rows after the entropy of their step
        late.insert(min(2 * k + 10, len(late)), {"step": s, "reward": r})
    curve = read_training_log(write.jsonl(tmp_path / "log.jsonl", late))
    assert curve.reward.tolist() == own.reward.tolist() and not any("counters" in n for n in curve.notes)


def series(step, order, counter="step of the event"):
    return Series(np.array(step, float), np.arange(len(step), dtype=float), np.array(order), counter)


def test_pairs_by_hand():
    clock = series(range(8), [1, 2, 11, 12, 21, 22, 31, 32])
    opens = series([0, 1, 2, 3], [0, 10, 20, 30], "b")
    closes = series([0, 1, 2, 3], [3, 13, 23, 33], "b")
    for other in (opens, closes):
        found = in_time(other, clock)
        assert (found.step.tolist(), found.value.tolist(), found.counter) == (
            [0, 2, 4, 6],
            [0, 1, 2, 3],
            clock.counter,
        )
        back = in_time(clock, other)  # the rarer counts: means of two
        assert (back.step.tolist(), back.value.tolist()) == ([0, 1, 2, 3], [0.5, 2.5, 4.5, 6.5])
    assert in_time(opens, clock, "before").step.tolist() == [0, 1, 3, 5]  # evaluations
    assert in_time(closes, clock, "before").step.tolist() == [1, 3, 5, 7]
    assert in_time(series([0, 1, 2], [100, 101, 102], "b"), clock) is None  # not in turns
    assert in_time(Series(opens.step, opens.value, None, "b"), clock) is None
    assert count_alike(clock, series(range(8), range(1, 33, 4))) and not count_alike(clock, opens)
    assert not count_alike(series(range(0, 80, 2), range(40)), series(range(40), range(40)))


# Means and sums ---------------------------------------------------------------------------------------


def verl(path, scale, before=()):
    own = write.run(30, scale=scale)
    lines = [
        write.verl_line(s, {"actor/entropy": h, "critic/score/mean": r, "response_length/mean": 300.0 + s})
        for s, h, r in own
    ]
    return write.text(path, [*before, *lines])


@pytest.mark.parametrize(
    ("scale", "meaning", "assumed"),
    [
        (400, "per sequence", ""),
        (17, "per sequence", ""),
        (14, "per sequence", ""),  # 12.74, just over ln V
        (13, "per token", "aggregation unknown"),
        (5, "per token", "aggregation unknown"),
        (1, "per token", "aggregation unknown"),
    ],
)
def test_sums_are_told_from_means_as_far_as_that_goes(tmp_path, scale, meaning, assumed):
    curve = read_training_log(verl(tmp_path / "verl.log", scale))
    assert (curve.meaning, curve.assumed) == (meaning, assumed)
    assert (assumed or "per sequence") in curve.kind and curve.kind in curve.subtitle
    if meaning == "per sequence":
        assert any("cannot exceed ln V, about 12.5" in note for note in curve.notes)
        for refused in (law_of, collapse_onset):
            with pytest.raises(AnalysisError, match="summed over each answer"):
                refused(curve)
    else:
        assert any(note.startswith("Aggregation unknown") for note in curve.notes)
    if scale == 1:
        assert any("Nobody said" in note for note in law_of(curve).notes)
    said = read_training_log(tmp_path / "verl.log", meaning="per token")
    assert (said.meaning, said.assumed) == ("per token", "")


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("{'actor': {'loss_agg_mode': 'token-mean',", "per token"),
        ("  'loss_agg_mode': 'seq-mean-token-mean'}", "per token"),
        ("actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum", "per sequence"),
        ('\x1b[36m(TaskRunner pid=1)\x1b[0m  "loss_agg_mode": "seq-mean-token-sum-norm",', "not known"),
    ],
)
def test_a_log_that_prints_its_configuration_is_believed(tmp_path, line, meaning):
    curve = read_training_log(verl(tmp_path / "verl.log", 2.0, [line]))
    assert (curve.meaning, curve.assumed) == (meaning, "")
    assert any("The log says loss_agg_mode" in note for note in curve.notes)
    big = read_training_log(verl(tmp_path / "verl.log", 400.0, [line]))
    assert big.meaning == ("not known" if meaning == "not known" else "per sequence")
    with pytest.raises(LawRefusedError):
        law_of(big)


@pytest.mark.parametrize(
    "key", ["entropy", "train/entropy_loss", "policy/policy_entropy", "train/approx_entropy"]
)
def test_no_key_promises_a_mean_over_ln_v(tmp_path, key):
    rows = ({"step": s, key: h, "reward": r} for s, h, r in write.run(20, scale=100.0))
    assert read_training_log(write.jsonl(tmp_path / "log.jsonl", rows)).meaning == "per sequence"
    rows = ({"step": s, key: h, "reward": r} for s, h, r in write.run(20))
    assert read_training_log(write.jsonl(tmp_path / "log.jsonl", rows)).meaning in ("per token", "estimator")


def test_a_negative_entropy_is_said(tmp_path):
    rows = [{"step": s, "entropy": 0.2 - s / 10} for s in range(5)]
    curve = read_training_log(write.jsonl(tmp_path / "log.jsonl", rows))
    assert any("entropy falls to -0.2. No entropy over tokens is negative" in note for note in curve.notes)


def test_slime_and_openrlhf_share_a_key_and_not_its_scaling(tmp_path):
    rows = [{"step": s, "train/entropy_loss": h} for s, h, _ in write.run(5)]
    other = read_training_log(write.jsonl(tmp_path / "o.jsonl", rows))
    slimes = read_training_log(
        write.jsonl(tmp_path / "s.jsonl", [row | {"rollout/raw_reward": 1.0} for row in rows])
    )
    assert (other.scaling, slimes.scaling) == ("logits not / T", "logits / T")
    assert any("OpenRLHF" in note for note in other.notes) and not any(
        "OpenRLHF" in note for note in slimes.notes
    )
    by_hand = read_training_log(tmp_path / "s.jsonl", entropy="train/entropy_loss")
    assert by_hand.scaling == "logits / T"


# Validation before the first step ---------------------------------------------------------------------

ACCURACY = "val-core/gsm8k/acc/mean@1"


@pytest.mark.parametrize("form", ["console", "jsonl"])
@pytest.mark.parametrize("every", [10, 5])
def test_a_validation_before_training_keeps_step_0(tmp_path, form, every):
    own = write.run(20)
    rows = [(0, {ACCURACY: 0.21})]
    for s, h, r in own:
        rows.append(
            (
                s,
                {"actor/entropy": h, "critic/score/mean": r}
                | ({ACCURACY: 0.2 + s / 100} if s % every == 0 else {}),
            )
        )
    if form == "console":
        log = write.text(tmp_path / "verl.log", (write.verl_line(s, row, s > 0) for s, row in rows))
    else:
        full = ((s, row | ({"training/global_step": s} if s else {})) for s, row in rows)
        log = write.jsonl(tmp_path / "verl.jsonl", ({"step": s, "data": row} for s, row in full))
    curve = read_training_log(log)
    assert (
        curve.evaluation.step.tolist() == [0, *range(every, 21, every)]
        and curve.step.tolist() == own.step.tolist()
    )
    assert curve.evaluation.reward[0] == 0.21 and curve.evaluation.reward[1] == 0.2 + every / 100
    assert curve.chosen["step"] == "training/global_step" and not any(
        "without a step" in n for n in curve.notes
    )


def test_a_counter_is_filled_only_from_one_that_agrees(tmp_path):
    rows = [{"_step": 0, ACCURACY: 0.2}] + [
        {"_step": 3 * s, "train/global_step": s, "entropy": h, "reward": r} for s, h, r in write.run(10)
    ]
    curve = read_training_log(write.jsonl(tmp_path / "log.jsonl", rows))
    assert curve.evaluation.step.tolist() == [1]  # in time, at the first step: 0 is another counter's


# Several writers --------------------------------------------------------------------------------------

RANKS = 4


def written(own, order, key):
    """Four processes with entropies 0 to 3 above the first one's, as rows in some order."""
    rows = [
        ({"step": s, "entropy": h + rank, "reward": r} | ({key: rank} if key else {}), rank, k)
        for k, (s, h, r) in enumerate(own)
        for rank in range(RANKS)
    ]
    if order == "rank after rank":
        rows.sort(key=lambda row: row[1])
    elif order == "one behind":  # the last process is a step late
        rows.sort(key=lambda row: (row[2] + (row[1] == RANKS - 1), row[1]))
    return [row for row, *_ in rows]


@pytest.mark.parametrize("order", ["step after step", "rank after rank", "one behind"])
@pytest.mark.parametrize("key", ["rank", "process_index", "local_rank", ""])
def test_rows_of_several_processes_are_averaged(tmp_path, key, order):
    own = write.run(20, 5, 5)
    rows = written(own, order, key)
    curve = read_training_log(write.jsonl(tmp_path / "log.jsonl", rows))
    if order == "rank after rank" and not key:  # a run that began again looks the same
        assert any("begin again 3 times" in note for note in curve.notes)
        return
    np.testing.assert_array_equal(curve.step, own.step)
    np.testing.assert_allclose(curve.entropy, own.entropy + 1.5)
    np.testing.assert_allclose(curve.reward, own.reward)
    (note,) = [n for n in curve.notes if "averaged" in n]
    assert "3 apart" in note and ("4 processes" in note) == bool(key) and "4 rows on average" in note
    columns = list(rows[0])
    table = write.csv(tmp_path / "t.csv", columns, ([row[c] for c in columns] for row in rows))
    np.testing.assert_allclose(read_training_log(table).entropy, own.entropy + 1.5)


def test_processes_that_write_at_other_steps_or_again(tmp_path):
    rows = [
        {"rank": r, "step": s, "entropy": 10.0 * r + s}
        for s in (1, 2, 3, 2, 3, 4)
        for r in range(2 if s < 4 else 1)
    ]
    curve = read_training_log(write.jsonl(tmp_path / "log.jsonl", rows))
    assert curve.step.tolist() == [1, 2, 3, 4] and curve.entropy.tolist() == [6, 7, 8, 4]
    one = [{"rank": 0, "step": s, "entropy": 1.0 / s} for s in (1, 2, 3)]
    assert not any("averaged" in n for n in read_training_log(write.jsonl(tmp_path / "o.jsonl", one)).notes)


def test_a_few_steps_written_twice_are_no_second_process(tmp_path):
    rows = [{"step": s, "entropy": float(k)} for k, s in enumerate([1, 2, 2, 3, 4, 5])]
    curve = read_training_log(write.jsonl(tmp_path / "log.jsonl", rows))
    assert curve.entropy.tolist() == [0, 2, 3, 4, 5]
    assert any("1 values were logged again" in note for note in curve.notes)
