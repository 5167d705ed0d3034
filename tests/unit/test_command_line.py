"""The command line: measure without a browser, read the file anywhere."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import analysis as an
from analysis.command_line.main import FAILED, STOPPED, main
from analysis.results.trace_file import load_trace
from analysis.token_entropy.measures import summary
from tests.patience import PATIENCE
from tests.tiny_models.families import save_tiny

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
    assert run.text == "one\r\ntwo three four five six", "no byte order mark, line ends as they are"
    spec = run.spec
    assert (spec.dtype, spec.stride, spec.window, spec.bos, spec.top_k) == ("bfloat16", 8, 16, "always", 3)
    assert len(spec.lens_layers) == spec.n_layers + 1


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "\n\r\n"])
@pytest.mark.parametrize("road", ["file", "standard input"])
def test_line_ends_are_read_as_they_are(model, tmp_path, monkeypatch, ends, road):
    text = f"one{ends}two{ends}three{ends}"
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode())
    if road != "file":
        monkeypatch.setattr(sys, "stdin", Typed(path.read_bytes()))
    assert measure(model, path if road == "file" else "-", tmp_path / "run.trace") == 0
    run = load_trace(tmp_path / "run.trace")
    with path.open(newline="", encoding="utf-8") as file:
        direct = an.trace(an.load_model(model), file.read())
    assert run.text == text == direct.text
    assert run.tokens.token_id.tolist() == direct.tokens.token_id.tolist()
    assert "".join(run.tokens.cell_text) == text
    assert main(["csv", str(tmp_path / "run.trace"), "-o", str(tmp_path / "t.csv")]) == 0
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert [row["token"] for row in csv.DictReader(file)] == list(run.tokens.text)


@pytest.mark.parametrize("wrap", [" {} ", '"{}"', "'{}'", "file://{}", ' "{}"\n'])
def test_pasted_paths(model, tmp_path, wrap):
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "my text.txt").write_text(TEXT)
    out = tmp_path / "run.trace"
    assert measure(wrap.format(model), wrap.format(folder / "my text.txt"), out) == 0
    assert load_trace(wrap.format(out)).text == TEXT
    assert main(["show", wrap.format(out)]) == 0


def test_notes_are_told_beside_the_run(tmp_path, capsys):
    folder = str(save_tiny("llama", tmp_path / "adding", add_bos=True))
    (tmp_path / "text.txt").write_text("<s>" + TEXT)
    assert measure(folder, tmp_path / "text.txt", tmp_path / "run.trace") == 0
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("Note: The text begins with <s>") and err.count("\n") == 1
    assert main(["show", str(tmp_path / "run.trace")]) == 0
    assert "Note: The text begins with <s>" in capsys.readouterr().out


def test_an_adapter_is_asked_for(model, tmp_path, capsys):
    (tmp_path / "text.txt").write_text(TEXT)
    done = measure(model, tmp_path / "text.txt", tmp_path / "run.trace", "--adapter", str(tmp_path))
    assert done == FAILED
    assert "adapter_config.json is missing" in capsys.readouterr().err


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
        timeout=PATIENCE,
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


# --- sweep --------------------------------------------------------------------------------------------

CONTEXT = "Ada opened the drawer and counted the coins twice before the bell rang in the hall. " * 2
AFTER = "Then she closed it"


def sweep(model, *more):
    return main(["sweep", "--model", model, "--device", "cpu", *more])


@pytest.fixture(scope="module")
def swept(model):
    """The sweep of :data:`CONTEXT` as the library makes it."""
    import analysis as an

    found = an.sweep_eviction(
        an.load_model(model, device="cpu"),
        CONTEXT,
        AFTER,
        ["knorm", "random"],
        [0.5, 0.25],
        answer=" now",
        seeds=2,
    )
    return found.to_frame()


def test_sweep_gives_the_rows_of_the_library(model, swept, capsys):
    texts = ["--context", CONTEXT, "--continuation", AFTER, "--answer", " now"]
    assert (
        sweep(model, *texts, "--policies", "knorm,random", "--kept", "0.5,0.25", "--seeds", "2", "--json")
        == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["unit"] == "nats" and answer["file"] is None and answer["skipped"] == {}
    assert [row["policy"] for row in answer["rows"]] == ["full", *["knorm"] * 2, *["random"] * 4]
    assert [row["kv_budget"] for row in answer["rows"]] == swept["kv_budget"].tolist()
    for name in ("nll", "delta_nll", "kl", "kl_p95", "answer_logp"):
        assert [row[f"{name}_nats"] for row in answer["rows"]] == pytest.approx(
            swept[name].tolist(), abs=1e-5
        )
    assert answer["checks"] and all(check["passed"] for check in answer["checks"])
    assert answer["spec"]["n_answer"] >= 1 and "answer_logp_nats" in answer["rows"][0]


def test_sweep_reads_files_and_writes_csv_in_bits(model, swept, tmp_path, capsys):
    (tmp_path / "context.txt").write_text(CONTEXT)
    (tmp_path / "after.txt").write_text(AFTER)
    files = [
        str(tmp_path / "context.txt"),
        "--continuation-file",
        str(tmp_path / "after.txt"),
        "--answer",
        " now",
    ]
    options = ["--policies", "knorm,random", "--kept", "0.5,0.25", "--seeds", "2", "--unit", "bits"]
    assert sweep(model, *files, *options, "--csv", str(tmp_path / "sweep.csv")) == 0
    assert capsys.readouterr().out == ""
    with (tmp_path / "sweep.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["kl_bits"]) for row in rows] == pytest.approx(
        (swept["kl"] / 0.6931471805599453).tolist(), abs=1e-5
    )
    assert [float(row["top1_agreement"]) for row in rows] == swept["top1_agreement"].tolist()


def test_sweep_prints_a_table_with_its_unit(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Typed(CONTEXT.encode()))
    assert sweep(model, "-", "--continuation", AFTER, "--policies", "knorm", "--kept", "0.5") == 0
    out, err = capsys.readouterr()
    assert "kl_nats" in out and "answer_logp" not in out and "Checks" in out and err == ""
    assert [line.split()[0] for line in out.splitlines()[2:4]] == ["full", "knorm"]


def test_sweep_says_what_was_not_run(model, capsys):
    texts = ["--context", CONTEXT, "--continuation", AFTER]
    assert sweep(model, *texts, "--policies", "knorm,snapkv", "--kept", "0.5,0.02", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["skipped"] and all(answer["skipped"].values())
    assert sweep(model, *texts, "--policies", "knorm,snapkv", "--kept", "0.5,0.02") == 0
    assert capsys.readouterr().err.count("Not run: ") == len(answer["skipped"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            ["--context", "a b c", "--continuation", " d e", "--policies", "nothing"],
            "no eviction method called",
        ),
        (["--context", " ", "--continuation", " d e"], "context is empty"),
        (["--context", "a b c d"], "nothing after the context"),
        (["-", "--continuation-file", "-"], "not both"),
        (["missing.txt", "--continuation", " d"], "cannot be read"),
        (["--context", "a b", "--continuation", " d", "--csv", "missing/x.csv"], "cannot be written"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_sweep_that_cannot_be_is_told(model, tmp_path, monkeypatch, capsys, more, words, as_json):
    monkeypatch.chdir(tmp_path)
    assert sweep(model, *more, *(["--json"] if as_json else [])) == FAILED
    out, err = capsys.readouterr()
    if as_json:
        told = json.loads(out)
        assert err == "" and set(told) == {"error", "hint"} and told["hint"]
        assert words in told["error"]
    else:
        assert out == "" and words in err


@pytest.mark.parametrize("kept", ["0", "1.5", "half", "", "0.5,-1", "nan"])
def test_shares_that_cannot_be_kept_are_refused(model, capsys, kept):
    assert sweep(model, "--context", "a", "--continuation", "b", f"--kept={kept}", "--json") == FAILED
    assert "--kept" in json.loads(capsys.readouterr().out)["error"]


# --- JSON ---------------------------------------------------------------------------------------------


def test_show_as_json_has_the_numbers_of_the_run(run_file, capsys):
    assert main(["show", str(run_file), "--unit", "bits", "--json"]) == 0
    out, err = capsys.readouterr()
    told, run = json.loads(out), load_trace(run_file)
    numbers = summary(run.tokens)
    assert err == "" and out.isascii() and told["unit"] == "bits"
    assert told["numbers"]["perplexity"] == numbers.perplexity
    assert told["numbers"]["mean_entropy"] == pytest.approx(numbers.mean_entropy / 0.6931471805599453)
    assert told["spec"]["n_tokens"] == len(run.tokens) and told["spec"]["lens_layers"] == []
    assert [check["name"] for check in told["checks"]] == [check.name for check in run.checks]
    first = told["most_surprising"][0]
    assert first["token"] == run.tokens.text[first["position"]]
    assert first["rank"] == run.tokens.rank[first["position"]]


def test_trace_and_csv_answer_in_json(model, run_file, tmp_path, capsys):
    (tmp_path / "text.txt").write_text(TEXT)
    assert measure(model, tmp_path / "text.txt", tmp_path / "run.trace", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told["file"] == str(tmp_path / "run.trace") and told["numbers"]["tokens"] == told["spec"]["n_tokens"]
    )
    assert main(["csv", str(run_file), "-o", str(tmp_path / "tokens.csv"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == len(load_trace(run_file).tokens) and "surprisal_nats" in told["columns"]


def test_a_number_that_is_none_is_null():
    from analysis.command_line.values import for_json

    values = {"a": (float("nan"), np.float32("inf"), np.float32(1.5), [True, np.int64(3)]), 7: None}
    assert json.dumps(for_json(values)) == '{"a": [null, null, 1.5, [true, 3]], "7": null}'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "no.trace"], "cannot be opened"),
        (["show"], "required: RUN.trace"),
        (["nothing"], "invalid choice: 'nothing'"),
        (["trace", "x", "-o", "y", "--top-k", "0"], "--top-k"),
        (["show", "no.trace", "--colour"], "unrecognized arguments: --colour"),
        (["serve", "--port", "99999"], "--port"),
        (["serve", "--address", "192.0.2.1"], "cannot listen on 192.0.2.1"),
    ],
)
def test_a_problem_as_json_has_error_and_hint(arguments, words, capsys):
    assert main([*arguments, "--json"]) == FAILED
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert err == "" and set(told) == {"error", "hint"} and words in told["error"] and told["hint"]


def test_a_port_in_use_is_told(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == FAILED
    assert f"port {port} (" in capsys.readouterr().err


# --- serve --------------------------------------------------------------------------------------------


def started(monkeypatch, run):
    """What a function would replace this process by: program and environment."""

    class Replaced(Exception):
        pass

    def replace(program, command, environment=None):
        raise Replaced(program, command, environment or dict(os.environ))

    monkeypatch.setattr(os, "execv", replace)
    monkeypatch.setattr(os, "execve", replace)
    with pytest.raises(Replaced) as seen:
        run()
    return seen.value.args[1:]


def test_serve_starts_the_app_by_its_path_and_passes_flags_on(monkeypatch):
    monkeypatch.setenv("LOGITSCOPE_ADDRESS", "")
    command, environment = started(
        monkeypatch, lambda: main(["serve", "--port", "8765", "--server.maxUploadSize", "5"])
    )
    assert command[1:3] == ["-P", str(ROOT / "app" / "__main__.py")]
    assert command[3:] == ["--server.port", "8765", "--server.maxUploadSize", "5"]
    assert environment["LOGITSCOPE_ADDRESS"] == "127.0.0.1"


def test_the_app_takes_address_and_hosts_from_the_environment(monkeypatch, capsys):
    from app.__main__ import main as start_app
    from app.__main__ import server_flags

    monkeypatch.setenv("LOGITSCOPE_ADDRESS", "0.0.0.0")
    monkeypatch.setenv("LOGITSCOPE_ALLOWED_HOSTS", "gpu.example, 10.0.0.7")
    command, environment = started(monkeypatch, lambda: start_app(["--server.address", "::1"]))
    assert command[1:5] == ["-P", "-m", "app.serve", "run"] and environment["PYTHONPATH"].startswith(
        str(ROOT)
    )
    assert command[-2:] == ["--server.address", "::1"], "a person's flag comes last and wins"
    assert command[6:8] == ["--server.address", "0.0.0.0"]
    hosts = [command[i + 1] for i, flag in enumerate(command) if flag == "--server.allowedHosts"]
    assert hosts == ["localhost", "127.0.0.1", "gpu.example", "10.0.0.7"]
    assert capsys.readouterr().err == ""
    assert server_flags({}) == [], "this machine only, as .streamlit/config.toml says"
    assert server_flags({}, is_checkout=False) == ["--server.fileWatcherType", "none"]
    server_flags({"LOGITSCOPE_ADDRESS": "0.0.0.0"})
    assert "LOGITSCOPE_ALLOWED_HOSTS" in capsys.readouterr().err
