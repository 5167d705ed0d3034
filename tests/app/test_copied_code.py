"""The lines that every card offers for a notebook run as they stand, and draw."""

from __future__ import annotations

import ast
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL.Image import Image

import analysis as an
from analysis.visual_tokens.horizon_results import SceneHorizon
from app.examples import EXAMPLES
from app.panels.visual_tokens import running
from tests import visual_sweeps as made
from tests.app.offered_code import VIEWS, cards_of_the_source
from tests.tiny_models.families import save_tiny
from tests.visual_answers import made_answer, same_picture

_KNOWN: dict[str, Any] = {}


@pytest.fixture
def notebook(monkeypatch, tmp_path, llama):
    """Where the lines are run: small models, stored runs of the labs, few questions, and the files that they name."""
    from analysis.entropy_collapse.labs import example_runs
    from analysis.entropy_collapse.labs.backcopy import training
    from analysis.entropy_collapse.labs.four_squares import grpo
    from analysis.writing import question_runs, steering_run
    from analysis.writing.questions import QUESTIONS
    from app.panels.compare import engine
    from app.panels.write import difficulty

    monkeypatch.setattr(an, "load_model", lambda *_args: llama, raising=False)
    monkeypatch.setattr(
        llama.tokenizer, "chat_template", "{% for m in messages %}{{ m.content }} {% endfor %}"
    )
    for name in ("trace", "sweep_eviction", "sweep_compression", "load_vision_model", "ask"):
        monkeypatch.setattr(an, name, _once(name, getattr(an, name)), raising=False)
    monkeypatch.setattr(
        grpo, "run_lab", lambda settings: _stored(example_runs.four_squares_example(), settings)
    )
    monkeypatch.setattr(training, "train_backcopy", lambda _settings: example_runs.backcopy_example())
    few = partial(question_runs.measure_difficulty, questions=QUESTIONS[:2])
    monkeypatch.setattr(question_runs, "measure_difficulty", few)
    monkeypatch.setattr(difficulty, "QUESTIONS", QUESTIONS[:2])
    monkeypatch.setattr(steering_run, "CHOICES", ("a", "b"))  # the small model's tokens
    monkeypatch.setattr(engine, "EXAMPLE", tmp_path / "rollouts.jsonl")
    monkeypatch.chdir(tmp_path)
    _files(tmp_path)


def _files(folder: Path) -> None:
    """What a person has beside the notebook."""
    from analysis.entropy_collapse.training.logs import EXAMPLES as LOGS
    from app.panels.pruning_effects.compression import help as compression
    from tests.app.conftest import ROOT

    shutil.copy(ROOT / "app" / "example.compare", folder / "run.compare")
    for path in LOGS.values():
        shutil.copy(path, folder / path.name)
    (folder / "text.txt").write_text(EXAMPLES["story"].text, encoding="utf-8")
    (folder / "other.txt").write_text(EXAMPLES["code"].text, encoding="utf-8")
    (folder / "context.txt").write_text(compression.CONTEXT, encoding="utf-8")
    rows = [{"tokens": [5, 9, 7 + k, 9], "logprobs": [-4.0, -5.5, -6.0, -4.5]} for k in range(8)]
    (folder / "rollouts.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    for step in (10, 250):
        save_tiny("llama", folder / "checkpoints" / f"checkpoint-{step}", seed=step)


@pytest.fixture
def measured_by_hand(monkeypatch):
    """What the page Visual tokens draws, while it is drawn; its lines compute theirs with the shipped model."""
    seen = made_answer(16)
    many = SceneHorizon(
        "m", np.arange(4), np.array(["count", "reading"] * 2), -np.ones((5, 4)), np.ones((5, 4), bool), 0.05
    )
    results = {
        "model.load_vision_model": None,
        "sweep.sweep_visual": made.made_sweep(),
        "split_sweep.sweep_split": replace(made.made_split(), settings={"questions": 12}),
        "horizon.information_horizon": made.made_horizon(),
        "scene_horizon.horizon_over_scenes": many,
        "fragility.measure_fragility": replace(made.made_fragility(), changed=(np.zeros((96, 96, 3)),) * 2),
        "collapse.layers_of_scenes": {f"scene {k}": seen.layers for k in range(3)},
    }
    with monkeypatch.context() as while_drawn:
        while_drawn.setattr(running, "example_answer", lambda: seen)
        while_drawn.setattr(running, "example_second", lambda: same_picture(16))
        for name, result in results.items():
            while_drawn.setattr(f"analysis.visual_tokens.{name}", partial(_given, result))
        yield while_drawn


def _given(result: Any, *_args: Any, **_options: Any) -> Any:
    return result


def _once(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    """The same lines head many cards: what they compute is computed once."""

    def known(*args: Any, **options: Any) -> Any:
        key = f"{name}{[str(arg) if isinstance(arg, Image) else arg for arg in args[1:]]}"
        key += f"{[id(arg) for arg in args[:1]]}{sorted(options.items())}"
        if key not in _KNOWN:
            _KNOWN[key] = (compute(*args, **options), args)  # with the model, whose id stays its own
        return _KNOWN[key][0]

    return known


def _stored(runs: list[Any], settings: Any) -> Any:
    return next(run for run in runs if run.settings.key == settings.key)


def test_every_card_that_offers_code_is_in_a_view():
    offered, drawn = cards_of_the_source(), Counter(name for view in VIEWS for name in view.cards.split())
    assert len(offered) > 80 and offered["law"] == 2
    missing = {name for name, places in offered.items() if drawn[name] < places}
    assert not missing, "no view of tests/app/offered_code.py draws these cards"
    assert not drawn.keys() - offered.keys()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # open(...).read() in a notebook
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.label)
def test_the_code_of_every_card_runs_as_it_stands(view, open_page, finish, files, notebook, measured_by_hand):
    at = finish(finish(open_page(view.page, **view.query)))
    for kind, key, *value in view.steps:
        widget = getattr(at, kind)(key=key)
        at = finish((widget.set_value(*value) if value else widget.click()).run())
    assert not at.exception and not at.error
    assert set(view.cards.split()) <= set(files.codes)
    measured_by_hand.undo()
    for name, code in files.codes.items():
        assert run(code, name) is not None


def run(code: str, name: str) -> object:
    """Run lines of a notebook and give the value of the last one."""
    *lines, last = ast.parse(code).body
    assert isinstance(last, ast.Expr), f"{name} ends without a picture"
    held: dict[str, object] = {}
    exec(compile(ast.Module(lines, []), name, "exec"), held)
    return eval(compile(ast.Expression(last.value), name, "eval"), held)
