"""The command line: measure without a browser, read the file anywhere."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.command_line.main import FAILED, STOPPED, main
from analysis.files import load_trace
from analysis.models.tiny import save_tiny
from analysis.token_entropy.measures import summary

ROOT = Path(__file__).resolve().parents[2]
TEXT = "Ada opened the drawer and counted the coins twice.\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny("llama", tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(scope="module")
def run_file(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "text.txt").write_text(TEXT)
    assert measure(model, folder / "text.txt", folder / "run.trace", "--device", "cpu") == 0
    return folder / "run.trace"


def measure(model, text, output, *more):
    return main(["trace", str(text), "-o", str(output), "--model", model, *more])


class Typed:
    """Standard input that holds these bytes."""

    def __init__(self, data):
        self.buffer = io.BytesIO(data)


# --- trace --------------------------------------------------------------------------------------------


def test_a_text_file_becomes_a_trace_file(run_file):
    run = load_trace(run_file)
    assert run.text == TEXT and run.spec.n_tokens == len(run.tokens)
    assert run.spec.lens_layers == () and run.spec.top_k == 10


def test_every_option_reaches_the_run(model, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Typed(b"\xef\xbb\xbfone\r\ntwo three four five six"))
    options = "--device cpu --dtype bfloat16 --lens --stride 8 --window 16 --bos always --top-k 3"
    assert measure(model, "-", tmp_path / "run.trace", *options.split()) == 0
    run = load_trace(tmp_path / "run.trace")
    assert run.text == "one\ntwo three four five six", "no byte order mark, plain line ends"
    spec = run.spec
    assert (spec.dtype, spec.stride, spec.window, spec.bos, spec.top_k) == ("bfloat16", 8, 16, "always", 3)
    assert len(spec.lens_layers) == spec.n_layers + 1


def test_progress_is_one_line_and_only_for_a_person(model, tmp_path, monkeypatch, capsys):
    (tmp_path / "text.txt").write_text(TEXT)
    assert measure(model, tmp_path / "text.txt", tmp_path / "run.trace") == 0
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert measure(model, tmp_path / "text.txt", tmp_path / "run.trace") == 0
    out, err = capsys.readouterr()
    assert out == "" and "\n" not in err
    assert "%  loading tiny" in err and "%  layer 1/" in err and "100%  done" in err
    assert err.endswith("\r") and err.split("\r")[-2].strip() == "", "the line is wiped at the end"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["cannot be read (No such file or directory)", "Check the path"]),
        (b"caf\xe9", ["not UTF-8 (byte 3)", "iconv"]),
        (b"", ["text"]),
    ],
)
def test_a_text_that_cannot_be_read_is_told_with_a_hint(model, tmp_path, capsys, content, words):
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    assert measure(model, tmp_path / "text.txt", tmp_path / "run.trace") == FAILED == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err and err.count("\n") == 2
    assert all(word in err for word in words)
    assert not (tmp_path / "run.trace").exists()


def test_an_output_that_cannot_be_written_is_told_before_computing(tmp_path, capsys):
    (tmp_path / "text.txt").write_text(TEXT)
    for output in (tmp_path / "missing" / "run.trace", tmp_path):
        assert measure("./no-such-model/", tmp_path / "text.txt", output) == FAILED
        assert "cannot be written" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_told(tmp_path, capsys):
    (tmp_path / "text.txt").write_text(TEXT)
    assert measure("./no-such-model/", tmp_path / "text.txt", tmp_path / "run.trace") == FAILED
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert measure("no such model", tmp_path / "text.txt", tmp_path / "run.trace") == FAILED
    assert "neither a hub id" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["--top-k", "0"], ["--bos", "maybe"], ["--dtype", "int8"], ["--stride", "x"]]
)
def test_wrong_options_are_refused(model, tmp_path, capsys, wrong):
    with pytest.raises(SystemExit) as stopped:
        measure(model, "-", tmp_path / "run.trace", *wrong)
    assert stopped.value.code == 2 and wrong[0] in capsys.readouterr().err


def test_ctrl_c_stops_quietly_and_leaves_no_file(model, tmp_path, monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("analysis.models.loading.load_model", interrupted)
    (tmp_path / "text.txt").write_text(TEXT)
    assert measure(model, tmp_path / "text.txt", tmp_path / "run.trace") == STOPPED == 130
    assert capsys.readouterr().err == "Stopped.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


# --- show ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "divisor"), [("nats", 1.0), ("bits", 0.6931471805599453)])
def test_show_prints_numbers_checks_and_the_most_surprising_tokens(run_file, capsys, unit, divisor):
    assert main(["show", str(run_file), "--unit", unit]) == 0
    out = capsys.readouterr().out
    run = load_trace(run_file)
    numbers = summary(run.tokens)
    assert run.spec.subtitle in out
    assert f"perplexity       {numbers.perplexity:.4g}\n" in out
    assert f"mean entropy     {numbers.mean_entropy / divisor:.4g} {unit}\n" in out
    assert all(f"passed  {check.name}" in out for check in run.checks)
    rows = out.partition("Most surprising")[2].splitlines()[2:]
    positions = [int(row.split()[0]) for row in rows]
    expected = sorted(range(1, len(run.tokens)), key=lambda t: -run.tokens.surprisal[t])[:10]
    assert positions == expected
    assert float(rows[0].split()[1]) == pytest.approx(run.tokens.surprisal[expected[0]] / divisor, abs=0.006)


def test_show_refuses_what_is_no_trace(tmp_path, capsys):
    (tmp_path / "run.trace").write_text("no")
    assert main(["show", str(tmp_path / "run.trace")]) == FAILED
    assert "not a trace file" in capsys.readouterr().err


def test_show_lets_no_text_steer_the_terminal(model, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("a\x1b[2Jb\x9bc")
    assert measure(model, tmp_path / "text.txt", tmp_path / "run.trace") == 0
    assert main(["show", str(tmp_path / "run.trace")]) == 0
    out = capsys.readouterr().out
    assert "\\x1b" in out and all(c.isprintable() or c == "\n" for c in out)


def test_show_runs_as_a_module_without_torch_on_any_terminal(run_file):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "analysis", "show", str(run_file)],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Most surprising tokens" in done.stdout and "\\xb7" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "numpy" in imported and not {"torch", "transformers", "streamlit"} & imported


# --- csv ----------------------------------------------------------------------------------------------


def test_csv_has_one_line_per_token_in_the_unit_asked_for(run_file, tmp_path):
    table = tmp_path / "tokens.csv"
    assert main(["csv", str(run_file), "-o", str(table), "--unit", "bits"]) == 0
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tokens = load_trace(run_file).tokens
    assert [row["token"] for row in rows] == list(tokens.text)
    assert rows[0]["surprisal_bits"] == "", "no context is empty, not a number"
    assert float(rows[3]["surprisal_bits"]) == pytest.approx(tokens.surprisal[3] / 0.6931471805599453)


def test_csv_says_when_it_cannot_write(run_file, tmp_path, capsys):
    assert main(["csv", str(run_file), "-o", str(tmp_path / "missing" / "tokens.csv")]) == FAILED
    assert "cannot be written" in capsys.readouterr().err
