"""One file of a whole session: every part comes back, what it lacks is said, and nothing hostile gets in."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from analysis.comparison.comparison_file import comparison_bytes, load_comparison
from analysis.errors import AnalysisError, BrokenFileError
from analysis.pruning_effects.eviction.sweep_file import sweep_bytes
from analysis.results.file_parts import bytes_of, header_of
from analysis.results.trace_file import load_trace, trace_bytes
from analysis.session_file import KEY, Session, load_session, save_session, session_bytes, session_from_bytes
from analysis.visual_tokens.answer_file import answer_bytes, load_answer
from analysis.writing.writing_file import load_writing, writing_bytes
from tests.figures.synthetic_sweep import sweep

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def session():
    return Session(
        load_trace(ROOT / "app" / "example.trace"),
        load_writing(ROOT / "app" / "example.writing"),
        load_comparison(ROOT / "app" / "example.compare"),
        ("training logs",),
        sweep(),
        load_answer(ROOT / "app" / "example.look"),
    )


def parts(session):
    return (
        session.run and trace_bytes(session.run),
        session.tree and writing_bytes(session.tree),
        session.comparison and comparison_bytes(session.comparison),
        session.sweep and sweep_bytes(session.sweep),
        session.answer and answer_bytes(session.answer),
        session.left_out,
    )


def test_everything_comes_back_bit_by_bit(session, tmp_path):
    opened = load_session(save_session(session, tmp_path / "a.session"))
    assert parts(opened) == parts(session)
    assert opened.run.layers.lens_entropy is not None or session.run.layers.lens_entropy is None


NAMES = ("run", "tree", "comparison", "sweep", "answer")


@pytest.mark.parametrize("part", NAMES)
def test_one_part_is_enough(session, part):
    opened = session_from_bytes(session_bytes(Session(**{part: getattr(session, part)})))
    assert [name for name in NAMES if getattr(opened, name) is not None] == [part]
    assert opened.left_out == ()


def test_nothing_is_not_saved():
    with pytest.raises(AnalysisError, match="nothing to save"):
        session_bytes(Session())


@pytest.mark.parametrize("schema", [1, 2])
def test_a_run_of_an_older_format_opens_inside(schema):
    old = (ROOT / "tests" / "golden" / f"schema_{schema}.trace").read_bytes()
    header = {"schema": 1, "parts": ["run"], "left_out": []}
    made = bytes_of({"run": np.frombuffer(old, np.uint8)}, {KEY: json.dumps(header)})
    assert len(session_from_bytes(made).run.tokens) > 0


def test_a_session_of_the_first_format_opens(session):
    held = Session(session.run, session.tree, session.comparison, session.left_out)
    data = session_bytes(held)
    old = bytes_of(load(data), {KEY: json.dumps(header_of(data, KEY) | {"schema": 1})})
    assert parts(session_from_bytes(old)) == parts(held)


def packed(arrays, **header):
    base = {"schema": 1, "parts": list(arrays), "left_out": []}
    return bytes_of(arrays, {KEY: json.dumps(base | header)})


def test_other_files_and_damaged_ones_are_refused(session):
    whole = session_bytes(Session(run=session.run))
    bomb = BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run", b"\0" * 10_000_000)
    some = np.frombuffer(trace_bytes(session.run), np.uint8)
    for data, said in [
        (b"", "is not a session file"),
        (bomb.getvalue(), "is not a session file"),
        (trace_bytes(session.run), "is not a session file"),
        (whole[: len(whole) // 2], "damaged or cut short"),
        (packed({"run": some}, schema=3), "session format 3"),
        (packed({"run": some}, schema=True), "session format"),
        (packed({"run": some}, parts=["run", "tree"]), "damaged"),
        (packed({"evil": some}), "damaged"),
        (packed({"run": some.astype(np.float32)[:8]}), "damaged"),
        (packed({"run": some}, left_out="x"), "damaged"),
        (packed({"run": some}, left_out=["x"] * 21), "damaged"),
        (packed({"run": some[:-1]}), "the run in a.session is damaged"),
        (packed({"sweep": some}), "the sweep in a.session is not a"),
        (packed({"tree": some}), "the tree in a.session is not a"),
    ]:
        with pytest.raises(BrokenFileError, match=said):
            session_from_bytes(data, "a.session")
