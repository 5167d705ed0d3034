"""A sweep comes back from its file as it was, and a file whose parts do not belong together is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load

import analysis as an
from analysis.command_line.main import main
from analysis.errors import BrokenFileError
from analysis.pruning_effects.eviction.sweep_file import KEY, save_sweep, sweep_bytes, sweep_from_bytes
from analysis.results.file_parts import bytes_of, header_of
from analysis.results.trace import Check
from tests.figures.synthetic_sweep import sweep


@pytest.fixture(scope="module")
def made():
    s = sweep(n_answer=2)
    spec = replace(s.spec, layer_numbers=(0, 2, 5), state_bytes=7)
    return replace(s, spec=spec, checks=(Check("a check", 1e-6, 1e-4, "nats"),))


def test_everything_comes_back(made, tmp_path):
    opened = an.load_sweep(made.save(tmp_path / "a.sweep"))
    assert sweep_bytes(opened) == sweep_bytes(made)
    for name in (
        "spec",
        "settings",
        "context",
        "continuation_tokens",
        "names",
        "skipped",
        "seconds",
        "checks",
    ):
        assert getattr(opened, name) == getattr(made, name), name
    np.testing.assert_array_equal(opened.kept(3), made.kept(3))
    np.testing.assert_array_equal(opened.context_encoding.cell, made.context_encoding.cell)
    assert opened.to_frame().equals(made.to_frame())
    assert opened.spec.layers == (0, 2, 5)


def test_its_report_is_made_from_the_file(made, tmp_path):
    save_sweep(made, tmp_path / "a.sweep")
    assert main(["report", str(tmp_path / "a.sweep"), "-o", str(tmp_path / "a.html"), "--unit", "bits"]) == 0
    assert (tmp_path / "a.html").read_text() == an.report(made, unit="bits").html


def changed(made, array=None, value=None, **header):
    """The file with one array or some of the header replaced; an array without a value is left out."""
    data = sweep_bytes(made)
    arrays = load(data)
    if value is not None:
        arrays[array] = value
    elif array is not None:
        del arrays[array]
    return bytes_of(arrays, {KEY: json.dumps(header_of(data, KEY) | header)})


def test_what_does_not_belong_together_is_refused(made):
    spec, settings = header_of(sweep_bytes(made), KEY)["spec"], header_of(sweep_bytes(made), KEY)["settings"]
    cases = [
        changed(made, "kl"),
        changed(made, "kl", made.kl.astype(np.float64)),
        changed(made, "kl", made.kl[:-1]),
        changed(made, "kept_bits", made.kept_bits[:, :-1]),
        changed(made, "context.cell", made.context_encoding.cell[::-1].copy()),
        changed(made, "top_ids", made.top_ids + 1),
        changed(made, spec=spec | {"n_context": 9}),
        changed(made, spec=spec | {"n_layers": True}),
        changed(made, spec=spec | {"n_answer": 99}),
        changed(made, spec=spec | {"mode": "other"}),
        changed(made, spec=spec | {"layer_numbers": [0, 1]}),
        changed(made, settings=settings[1:]),
        changed(made, settings=[settings[0] | {"policy": "other"}, *settings[1:]]),
        changed(made, settings=[*settings[:-1], settings[-1] | {"kept": 0}]),
        changed(made, settings=[*settings[:-1], settings[-1] | {"seed": "0"}]),
        changed(made, checks=[{"name": 1, "error": 0.0, "tolerance": 1.0}]),
        sweep_bytes(made)[:-9],
    ]
    assert sweep_from_bytes(changed(made)) is not None
    for data in cases:
        with pytest.raises(BrokenFileError, match="damaged or cut short"):
            sweep_from_bytes(data, "a.sweep")


def test_another_kind_and_a_newer_format_are_named(made):
    with pytest.raises(BrokenFileError, match="is not a sweep file"):
        sweep_from_bytes(b"\0" * 64, "a.sweep")
    with pytest.raises(BrokenFileError, match="sweep format 2"):
        sweep_from_bytes(changed(made, schema=2), "a.sweep")
