"""Entropy collapse over training: logs come in by hand only, and every state says what to do."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from analysis.entropy_collapse.training.law import law_of
from analysis.entropy_collapse.training.logs import EXAMPLES, read_training_log
from app import state
from app.compute import requests as runs
from app.panels.entropy_collapse.training import help as explained
from app.panels.entropy_collapse.training import sources as training_sources
from tests.app.conftest import shown
from tests.patience import PATIENCE

GOLDEN = Path(__file__).parents[1] / "golden" / "training_logs"


def charts(at):
    return len(at.get("vega_lite_chart"))


def settle(at, finish):
    """Run until nothing is read or waits any more: only three logs are read at once."""
    at = finish(at)
    while any(str(e.value).endswith("waits.") for e in at.caption) or any(
        job.is_live for job in runs.engine().worker._jobs.values()
    ):
        at = finish(at)
    assert not at.exception, at.exception
    return at


@pytest.fixture
def page(open_page):
    at = open_page("entropy_collapse", view="over training")
    assert not at.exception
    return at


def law_view(at):
    at = at.segmented_control(key=state.LOG_PICTURES).set_value("law").run()
    assert not at.exception
    return at


@pytest.fixture
def near(page, finish):
    return settle(page.button(key="example_near_words").click().run(), finish)


def read_path(at, path, finish):
    at.text_input(key="training_path").set_value(str(path))
    button = next(b for b in at.button if b.label == "Read")
    return settle(button.click().run(), finish)


def test_it_opens_with_the_bundled_log(page, submitted):
    assert "**Example**: a run of TRL's GRPO trainer" in shown(page) and charts(page) == 2
    assert "Collapsed at step 152" in shown(page)
    assert not submitted and not page.button(key="example_near_words").disabled
    assert page.dataframe[0].value["rows"].tolist() == [100]
    assert charts(law_view(page)) == 2 and not submitted


def test_links_read_nothing(open_page, submitted):
    link = {
        "training_path": str(GOLDEN / "verl.jsonl"),
        "training_sources": "near_words",
        "path": "/etc/passwd",
    }
    at = open_page("entropy_collapse", view="over training", **link)
    assert not at.exception and "**Example**" in shown(at)
    assert not [key for key in submitted if key.startswith("log/")]


def test_the_example_is_drawn_with_its_law(near):
    assert charts(near) == 2 and "Collapsed at step 152" in shown(near) and "**Example**" not in shown(near)
    table = near.dataframe[0].value
    assert table["entropy from"].tolist() == ["entropy"] and table["it is"].tolist() == ["per token"]
    assert table["rows"].tolist() == [100]
    near = law_view(near)
    text = shown(near)
    fit = law_of(read_training_log(EXAMPLES["near_words"]))
    values = {m.label: m.value for m in near.metric}
    assert float(values["ceiling b − a"]) == pytest.approx(fit.ceiling, rel=0.01)
    assert values["R², law"] == f"{fit.r2:.3f}"
    assert "A straight line in the entropy is ruled out" in text and "95 % intervals: a 0.0" in text
    assert charts(near) == 2


def test_a_refused_law_says_why_and_shows_the_points(page, finish):
    at = law_view(settle(page.button(key="example_exact_words").click().run(), finish))
    assert "straight line in the entropy itself fits better" in shown(at)
    assert charts(at) == 2 and "R², law" not in {m.label for m in at.metric}


def test_uploads_are_read_and_outlive_the_uploader(page, finish):
    files = ["verl.jsonl", "verl_console.log", "wandb_history.parquet"]
    uploads = [(name, (GOLDEN / name).read_bytes(), "application/octet-stream") for name in files]
    at = settle(page.file_uploader(key=state.LOG_UPLOADS).set_value(uploads).run(), finish)
    assert at.dataframe[0].value["run"].tolist() == files
    assert at.dataframe[0].value["entropy from"].tolist() == [
        "actor/entropy",
        "actor/entropy",
        "train/entropy",
    ]
    kept = [Path(source.path) for source in at.session_state[state.LOG_SOURCES]]
    assert all(path.exists() for path in kept)
    at = finish(at.switch_page("../pages/token_entropy.py").run())
    at = settle(at.switch_page("../pages/entropy_collapse.py").run(), finish)
    at.segmented_control(key=state.COLLAPSE_VIEW).set_value("over training")
    at = settle(at.run(), finish)
    assert at.dataframe[0].value["run"].tolist() == files
    at.button(key=f"drop_{at.session_state[state.LOG_SOURCES][0].id}").click()
    at = settle(at.run(), finish)
    assert at.dataframe[0].value["run"].tolist() == files[1:]


def test_a_folder_of_several_runs(page, finish):
    at = read_path(page, GOLDEN, finish)
    table = at.dataframe[0].value
    assert {"trl_sft", "verl.jsonl"} <= set(table["run"]) and "has the same entropy as" in shown(at)
    at.segmented_control(key=state.LOG_X).set_value("tokens")
    at.selectbox(key=state.LOG_METRIC).set_value("length")
    at = settle(at.run(), finish)
    assert charts(at) >= 2


def test_a_ninth_log_says_whose_place_it_takes(page, finish, tmp_path):
    for k in range(training_sources.MAX_SOURCES + 1):
        log = tmp_path / f"run_{k}.csv"
        log.write_text("step,entropy\n" + "".join(f"{i},{2 - i / 20}\n" for i in range(12)))
        page.text_input(key="training_path").set_value(str(log))
        at = next(b for b in page.button if b.label == "Read").click().run()
        said = [toast.value for toast in at.toast]
        assert (said == []) == (k < training_sources.MAX_SOURCES)
        at = finish(at)
    assert not at.exception and "run" in said[0] and "was removed: the page holds 8 logs" in said[0]
    names = [source.name for source in at.session_state[state.LOG_SOURCES]]
    assert len(names) == training_sources.MAX_SOURCES and not any("run_0" in name for name in names)


def test_a_log_without_a_known_entropy_asks_for_the_column(page, finish, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("when,H,score\n" + "".join(f"{k},{2 - k / 20},{k / 20}\n" for k in range(30)))
    at = read_path(page, log, finish)
    assert "no column that is known to be an entropy" in shown(at) and charts(at) == 0
    (source,) = at.session_state[state.LOG_SOURCES]
    for label, value in (("Entropy", "H"), ("Reward", "score"), ("Step", "when")):
        at.selectbox(key=f"column_{label}_{source.id}").set_value(value)
    button = next(b for b in at.button if b.label == "Read these columns")
    at = settle(button.click().run(), finish)
    table = at.dataframe[0].value
    assert (table["entropy from"][0], table["reward from"][0], table["step from"][0]) == (
        "H",
        "score",
        "when",
    )
    assert table["it is"].tolist() == ["not known"] and charts(at) == 2


def test_sums_and_means_get_charts_of_their_own(page, finish, tmp_path):
    for name, key, start in (("ppo", "objective/entropy", 20), ("grpo", "entropy", 4)):
        rows = "".join(f'{{"step": {k}, "{key}": {start - k / 9}, "reward": {k}}}\n' for k in range(30))
        (tmp_path / f"{name}.jsonl").write_text(rows)
    at = read_path(page, tmp_path, finish)
    assert "each kind has a chart of its own" in shown(at)
    assert at.dataframe[0].value["it is"].tolist() == ["per token", "per sequence"]
    assert charts(at) == 3  # two entropies, reward
    at = law_view(at)
    assert "Entropy spent by **ppo.jsonl** is not available" in shown(at)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x80\x04N.", "pickle"),
        (b'{"log_history": [{"step": 1, "entr', "cut short"),
        (b"hello", "no log that is known here"),
    ],
)
def test_bad_files_are_said_and_stay_removable(near, finish, tmp_path, content, message):
    path = tmp_path / "<b>![x](evil.png)"
    path.write_bytes(content)
    at = read_path(near, path, finish)
    assert message in shown(at) and charts(at) == 2  # the good one is still there
    assert all("![x]" not in e.value for kind in ("markdown", "caption", "error") for e in at.get(kind))
    at.button(key=f"drop_{at.session_state[state.LOG_SOURCES][-1].id}").click()
    assert message not in shown(settle(at.run(), finish))


def rows(first, last, scale=1.0):
    return "".join(
        f'{{"step": {k}, "entropy": {scale * 2 / k}, "reward": {0.9 - scale * 0.1 / k}}}\n'
        for k in range(first, last + 1)
    )


def test_a_run_that_goes_on_is_read_again(page, finish, tmp_path):
    log = tmp_path / "run.jsonl"
    log.write_text(rows(1, 20))
    at = read_path(page, log, finish)
    assert at.dataframe[0].value["last step"].tolist() == [20] and "Nothing new" not in shown(at)
    with log.open("a") as file:
        file.write(rows(21, 23) + '{"step": 24, "entr')
    at = settle(at.run(), finish)
    assert at.dataframe[0].value["last step"].tolist() == [20]  # nobody asked
    at = settle(at.button(key="training_reread").click().run(), finish)
    assert at.dataframe[0].value["last step"].tolist() == [23]
    assert "3 new rows, steps 21 to 23." in shown(at) and charts(at) == 2
    at = settle(at.button(key="training_reread").click().run(), finish)
    assert "Nothing new." in shown(at)


def test_an_interval_looks_for_new_rows_by_itself(page, finish, submitted, tmp_path):
    log = tmp_path / "run.jsonl"
    log.write_text(rows(1, 20))
    at = read_path(page, log, finish)
    at.segmented_control(key=state.LOG_EVERY).set_value("15 s")
    at = settle(at.run(), finish)
    asked = len(submitted)
    at = settle(at.run(), finish)  # as its fragment would: nothing was written, nothing is read
    assert len(submitted) == asked
    with log.open("a") as file:
        file.write(rows(21, 21))
    at = settle(at.run(), finish)
    assert "1 new row, step 21." in shown(at) and len(submitted) == asked + 1
    log.unlink()
    at = settle(at.run(), finish)
    assert at.dataframe[0].value["last step"].tolist() == [21]  # gone for the moment
    log.write_text("")
    at = settle(at.run(), finish)
    assert "is empty" in shown(at) and at.dataframe[0].value["last step"].tolist() == [21]
    log.write_text(rows(1, 30))
    at = settle(at.run(), finish)
    assert at.dataframe[0].value["last step"].tolist() == [30] and "is empty" not in shown(at)


def test_a_threshold_says_who_is_under_it_and_since_when(page, finish, tmp_path):
    for name, scale in (("high", 2.0), ("low", 1.0), ("sum", 30.0)):
        (tmp_path / f"{name}.jsonl").write_text(rows(1, 20, scale))
    at = read_path(page, tmp_path, finish)
    assert not at.warning
    at.number_input(key=state.ENTROPY_UNDER).set_value(0.15)
    at = settle(at.run(), finish)
    (warning,) = [w.value.replace("\\", "") for w in at.warning]
    assert warning == "**low.jsonl**: Entropy is under 0.15 nats since step 14 (7 rows): 0.1 at step 20."
    text = shown(at)
    assert "**high.jsonl**: Entropy has not been under 0.15 nats: 0.2 at step 20." in text
    assert "**sum.jsonl**: not compared. The logged entropy is summed over each answer." in text


def test_copies_cannot_be_followed(near, finish, tmp_path):
    said = "Uploads and examples are copies and cannot be followed"
    assert said in shown(near) and near.button(key="training_reread").disabled
    log = tmp_path / "run.jsonl"
    log.write_text(rows(1, 20))
    at = read_path(near, log, finish)
    assert said in shown(at) and not at.button(key="training_reread").disabled


def test_panels_that_are_uploaded_together_are_one_source(page, finish):
    def panel(metric, values):
        columns = ",".join(f"{run} - {metric}" for run in values)
        lines = (f"{k}," + ",".join(str(v[k]) for v in values.values()) for k in range(12))
        return f"Step,{columns}\n" + "\n".join(lines)

    entropy = panel(
        "train/entropy", {"b": [2 - k / 10 for k in range(12)], "a": [1 - k / 20 for k in range(12)]}
    )
    reward = panel("train/reward", {"a": [k / 40 for k in range(12)], "b": [k / 20 for k in range(12)]})
    files = [("entropy.csv", entropy.encode(), "text/csv"), ("reward.csv", reward.encode(), "text/csv")]
    uploads = [*files, ("other.jsonl", rows(1, 12).encode(), "text/plain")]
    at = settle(page.file_uploader(key=state.LOG_UPLOADS).set_value(uploads).run(), finish)
    table = at.dataframe[0].value
    assert table["run"].tolist() == ["b", "a", "other.jsonl"]
    assert table["reward from"].tolist() == ["train/reward", "train/reward", "reward"]
    names = [source.name for source in at.session_state[state.LOG_SOURCES]]
    assert names == ["entropy.csv + reward.csv", "other.jsonl"]
    at = settle(at.file_uploader(key=state.LOG_UPLOADS).set_value(uploads[:1]).run(), finish)
    assert at.dataframe[0].value["reward from"].tolist() == ["not available"] * 2
    assert [source.name for source in at.session_state[state.LOG_SOURCES]] == ["entropy.csv"]


def test_unknown_aggregation_and_the_law_say_what_they_are(page, finish):
    at = read_path(page, f' "{GOLDEN / "verl.jsonl"}" ', finish)
    assert at.dataframe[0].value["it is"].tolist() == ["per token (aggregation unknown)"]
    text = shown(at) + shown(law_view(at))
    assert "Aggregation unknown: verl takes actor/entropy as its loss_agg_mode says" in text
    assert "R is the reward of the log; in the paper it is downstream performance." in text
    assert "*downstream performance*" in explained.LAW and "reward that the log holds" in explained.LAW


def test_a_missing_path_is_said(page, finish):
    assert "There is no file or folder at" in shown(read_path(page, "/nowhere/at/all.json", finish))


def test_reading_can_be_cancelled_and_started_again(page, finish, monkeypatch):
    from analysis.entropy_collapse.training import logs as training_logs

    really, began, idle = training_logs.read_training_logs, threading.Event(), threading.Event()

    def endless(path, **options):
        began.set()
        while True:
            options["on_progress"](0.5, "reading slowly")
            idle.wait(0.01)

    monkeypatch.setattr(training_logs, "read_training_logs", endless)
    at = page.button(key="example_near_words").click().run()
    (job,) = [j for j in runs.engine().worker._jobs.values() if j.key.startswith("log/")]
    assert began.wait(PATIENCE) and job.is_live and charts(at) == 0
    at = finish(at.button(key=f"cancel_{job.key}").click().run())
    monkeypatch.setattr(training_logs, "read_training_logs", really)
    assert "was cancelled" in shown(at)
    at = settle(at.button(key="again_near_words").click().run(), finish)
    assert charts(at) == 2


def test_odd_addresses_do_no_harm(open_page, finish):
    at = open_page(
        "entropy_collapse", view="over training", metric="<b>", x="nan", smoothing="inf", first_part="-1"
    )
    at = settle(at.button(key="example_near_words").click().run(), finish)
    assert charts(at) == 2
