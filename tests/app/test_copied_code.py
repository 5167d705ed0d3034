"""The lines that every card offers for a notebook run as they stand, and draw."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable
from typing import Any

import pytest

import analysis as an
from app.examples import EXAMPLES

VIEWS: list[tuple[str, dict[str, str]]] = [
    ("token_entropy", {}),
    ("token_entropy", {"entropy": "lens"}),
    ("token_entropy", {"entropy": "scatter"}),
    ("attention_sinks", {}),
    ("attention_sinks", {"sinks": "tokens"}),
    ("attention_sinks", {"sinks": "over layers"}),
    ("entropy_collapse", {}),
    ("entropy_collapse", {"view": "over training"}),
    ("entropy_collapse", {"view": "over training", "training": "law"}),
    ("entropy_collapse", {"view": "live lab"}),
    ("entropy_collapse", {"view": "live lab", "squares": "exchange"}),
    ("entropy_collapse", {"view": "live lab", "lab": "bigram-backcopy"}),
    ("pruning_effects", {}),
    ("pruning_effects", {"pictures": "what stays"}),
    ("pruning_effects", {"pictures": "damage"}),
    ("pruning_effects", {"pictures": "agreement"}),
    ("pruning_effects", {"pictures": "cost"}),
    ("pruning_effects", {"pruning": "prompt"}),
    ("write", {}),
    ("compare", {}),
    ("compare", {"compare": "layers"}),
    ("compare", {"compare": "rules"}),
    ("compare", {"compare": "summary"}),
    ("compare", {"compare": "engine"}),
]

_KNOWN: dict[str, Any] = {}


@pytest.fixture
def notebook(monkeypatch, tmp_path, llama):
    """Where the lines are run: the small model, stored runs of the labs, and the files that they name."""
    from analysis.comparison.rollout_file import EXAMPLE as ROLLOUTS
    from analysis.entropy_collapse.labs import example_runs
    from analysis.entropy_collapse.labs.backcopy import training
    from analysis.entropy_collapse.labs.four_squares import grpo
    from analysis.entropy_collapse.training.logs import EXAMPLES as LOGS
    from app.panels.pruning_effects.compression import help as compression
    from tests.app.conftest import ROOT

    monkeypatch.setattr(an, "load_model", lambda *_args: llama, raising=False)
    monkeypatch.setattr(
        llama.tokenizer, "chat_template", "{% for m in messages %}{{ m.content }} {% endfor %}"
    )
    for name in ("trace", "sweep_eviction", "sweep_compression"):
        monkeypatch.setattr(an, name, _once(name, getattr(an, name)), raising=False)
    monkeypatch.setattr(
        grpo, "run_lab", lambda settings: _stored(example_runs.four_squares_example(), settings)
    )
    monkeypatch.setattr(training, "train_backcopy", lambda _settings: example_runs.backcopy_example())
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "app" / "example.compare", "run.compare")
    shutil.copy(ROLLOUTS, "rollouts.jsonl")
    for path in LOGS.values():
        shutil.copy(path, path.name)
    (tmp_path / "text.txt").write_text(EXAMPLES["story"].text, encoding="utf-8")
    (tmp_path / "context.txt").write_text(compression.CONTEXT, encoding="utf-8")


def _once(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    """The same lines head many cards: what they compute is computed once."""

    def known(*args: Any, **options: Any) -> Any:
        key = f"{name}{args[1:]}{sorted(options.items())}"
        if key not in _KNOWN:
            _KNOWN[key] = compute(*args, **options)
        return _KNOWN[key]

    return known


def _stored(runs: list[Any], settings: Any) -> Any:
    return next(run for run in runs if run.settings.key == settings.key)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # open(...).read() in a notebook
@pytest.mark.parametrize(
    ("page", "query"), VIEWS, ids=lambda v: v if isinstance(v, str) else "+".join(v.values())
)
def test_the_code_of_every_card_runs_as_it_stands(page, query, open_page, finish, files, notebook):
    at = finish(open_page(page, **query))
    assert not at.exception and files.codes
    for name, code in files.codes.items():
        assert run(code, name) is not None


def run(code: str, name: str) -> object:
    """Run lines of a notebook and give the value of the last one."""
    *lines, last = ast.parse(code).body
    assert isinstance(last, ast.Expr), f"{name} ends without a picture"
    held: dict[str, object] = {}
    exec(compile(ast.Module(lines, []), name, "exec"), held)
    return eval(compile(ast.Expression(last.value), name, "eval"), held)
