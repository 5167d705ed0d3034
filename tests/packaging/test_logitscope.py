"""``import logitscope as ls``: the names of analysis, and no other package of that name."""

from __future__ import annotations

import pytest

import analysis
import logitscope
from tests.packaging.conftest import ROOT

TRACE = ROOT / "tests" / "golden" / "schema_1.trace"
HEAVY = ("torch", "transformers", "tokenizers", "accelerate", "gguf", "psutil", "threadpoolctl")
OTHER = (
    "streamlit",
    "pyarrow",
    "tensorboard",
    "sentencepiece",
    "peft",
    "google.protobuf",
    "IPython",
    "anywidget",
)
BLOCK = "import sys\nfor name in {names!r}: sys.modules[name] = None\n"


def test_it_gives_the_names_of_analysis():
    assert logitscope.__all__ == analysis.__all__
    assert set(dir(logitscope)) >= set(analysis.__all__)
    assert logitscope.figures is analysis.figures
    assert logitscope.AnalysisError is analysis.AnalysisError
    with pytest.raises(AttributeError, match=r"module 'logitscope' has no attribute 'no_such_name'"):
        _ = logitscope.no_such_name


def test_importing_it_loads_nothing_heavy(python):
    done = python("-c", "import sys, logitscope; print(*sys.modules)", path=ROOT)
    assert not set(done.stdout.split()) & {"numpy", "pandas", "altair", *HEAVY, *OTHER}


@pytest.mark.parametrize("name", ["analysis/__init__.py", "analysis.py"])
def test_another_package_called_analysis_is_named_and_not_run(python, tmp_path, name):
    shadow = tmp_path / name
    shadow.parent.mkdir(exist_ok=True)
    shadow.write_text("print('this ran')")
    done = python("-c", "import logitscope", path=ROOT)
    assert done.returncode == 1 and "this ran" not in done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError") and str(shadow) in last and "Rename" in last
    own = str(ROOT / "analysis" / "__init__.py")
    assert own in last
    assert python("-P", "-c", "import logitscope", path=ROOT).returncode == 0


def test_a_folder_that_is_no_package_shadows_nothing(python, tmp_path):
    (tmp_path / "analysis").mkdir()
    assert python("-c", "import logitscope", path=ROOT).returncode == 0


def test_a_run_opens_and_is_drawn_without_torch(python):
    code = BLOCK.format(names=HEAVY + OTHER) + (
        "import logitscope as ls\n"
        f"run = ls.load_trace({str(TRACE)!r})\n"
        "print(len(run.tokens.to_frame('bits')), 'span' in ls.figures.token_strip(run).html)\n"
        "ls.figures.along_text(run), ls.figures.head_map(run), ls.figures.matrix_entropy(run)\n"
    )
    done = python("-W", "error", "-c", code, path=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[1] == "True"


@pytest.mark.parametrize("arguments", [["show"], ["csv", "-o", "tokens.csv"]])
def test_show_and_csv_run_without_torch(python, tmp_path, arguments):
    command, *more = arguments
    code = BLOCK.format(names=HEAVY + OTHER) + (
        f"from logitscope.__main__ import start\nsys.argv[1:] = {[command, str(TRACE), *more]!r}\nstart()"
    )
    done = python("-c", code, path=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Most surprising tokens" in done.stdout or (tmp_path / "tokens.csv").stat().st_size > 100


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (["trace", "text.txt", "-o", "run.trace"], "t", "models"),
        (["sweep", "text.txt", "--continuation", " and more"], "t", "models"),
        (["serve"], "streamlit", "app"),
    ],
)
def test_what_is_not_installed_is_told_with_its_extra(python, tmp_path, arguments, package, extra):
    (tmp_path / "text.txt").write_text("one two three")
    code = BLOCK.format(names=HEAVY + OTHER) + (
        f"from logitscope.__main__ import start\nsys.argv[1:] = {arguments!r}\nstart()"
    )
    done = python("-c", code, path=ROOT)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert f"needs the package {package}" in done.stderr and f"[{extra}]" in done.stderr
