"""Curves over layers, the collapse layer, checkpoints and their phases, the untrained twin."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import analysis as an
from analysis.entropy_collapse.layers import checkpoints
from analysis.entropy_collapse.layers.checkpoints import (
    ModelShape,
    Phase,
    compare_checkpoints,
    compare_models,
    find_checkpoints,
    model_shape,
    phases,
    shapes_frame,
)
from analysis.entropy_collapse.layers.curves import QUANTITIES, SCALES, collapse_layer, layer_curve
from analysis.errors import AnalysisError, Cancelled
from analysis.models.untrained import untrained_twin
from analysis.results.layers import LayerTrace
from analysis.results.spectra import alpha_req, effective_rank, effective_rank_singular, renyi_entropy
from tests.tiny_models.families import save_tiny

TEXT = "The cat sat on the mat, and 🙂 the dog ran to the river in the morning; it was not there. "
KINDS = ["states", "query", "key", "value"]


@pytest.fixture(scope="module")
def run(llama):
    return an.trace(llama, TEXT * 2, lens=True, spectra=KINDS)


# Curves -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_token", [True, False])
@pytest.mark.parametrize(("kind", "field"), [("states", "spectrum"), ("key", "key_spectrum")])
def test_quantities_of_the_spectrum(run, kind, field, first_token):
    shares = getattr(run.layers, field)[0 if first_token else 1]

    def curve(quantity, **options):
        return layer_curve(run, quantity, kind=kind, first_token=first_token, **options)

    layers = list(range(3)) if kind == "states" else [1, 2]
    assert curve("matrix entropy")["layer"].tolist() == layers
    np.testing.assert_array_equal(curve("matrix entropy")["value"], renyi_entropy(shares))
    np.testing.assert_array_equal(curve("matrix entropy", order=2)["value"], renyi_entropy(shares, 2))
    np.testing.assert_array_equal(curve("rank, eigenvalues")["value"], effective_rank(shares))
    np.testing.assert_array_equal(curve("rank, singular values")["value"], effective_rank_singular(shares))
    assert (curve("rank, singular values")["value"] > curve("rank, eigenvalues")["value"]).all()
    assert curve("alpha-ReQ")["value"].isna().all()  # 64 directions are too few, and nothing stands in
    assert curve("alpha-ReQ")["r_squared"].isna().all()


def test_scales(run):
    raw = layer_curve(run)["value"].to_numpy()
    n = run.spec.n_tokens
    np.testing.assert_allclose(layer_curve(run, scale="per ln N")["value"], raw / math.log(n))
    np.testing.assert_allclose(layer_curve(run, scale="per ln D")["value"], raw / math.log(64))
    without = layer_curve(run, first_token=False)["value"].to_numpy()
    scaled = layer_curve(run, scale="per ln N", first_token=False)["value"]
    np.testing.assert_allclose(scaled, without / math.log(n - 1))
    older = replace(run, spec=replace(run.spec, hidden_size=0))
    assert layer_curve(older, scale="per ln D")["value"].isna().all()
    assert SCALES == ("raw", "per ln N", "per ln D")


def test_alpha_req_where_there_are_enough_directions(llama):
    shares = np.stack([np.arange(1, 151) ** -alpha for alpha in (0.5, 1.0, 1.5)])
    shares /= shares.sum(1, keepdims=True)
    spec = SimpleNamespace(n_tokens=200, hidden_size=150)
    trace = SimpleNamespace(layers=SimpleNamespace(spectrum=np.stack([shares, shares])), spec=spec)
    curve = layer_curve(trace, "alpha-ReQ")
    np.testing.assert_allclose(curve["value"], [0.5, 1.0, 1.5])
    np.testing.assert_allclose(curve["r_squared"], 1)


def test_curvature_and_lens(run):
    for first, first_token in ((0, True), (1, False)):
        curve = layer_curve(run, "curvature", first_token=first_token)
        np.testing.assert_array_equal(curve["value"], run.layers.curvature[first])
        lens = layer_curve(run, "lens entropy", first_token=first_token)
        assert lens["layer"].tolist() == [0, 1, 2]
        said_from = run.layers.lens_entropy[:, 1 + first :].astype(float)
        np.testing.assert_allclose(lens["value"], said_from.mean(1))
    output = run.tokens.entropy[1:].astype(float).mean()
    assert layer_curve(run, "lens entropy")["value"].iloc[-1] == pytest.approx(output, abs=1e-5)
    assert len(QUANTITIES) == 6


def test_what_was_not_measured_is_refused(llama, run):
    without = an.trace(llama, TEXT, spectra=False)
    with pytest.raises(ValueError, match=r'spectra=\["states"\].*made without them'):
        layer_curve(without)
    with pytest.raises(ValueError, match="curvature"):
        layer_curve(without, "curvature")
    with pytest.raises(ValueError, match="lens=True"):
        layer_curve(without, "lens entropy")
    queries = an.trace(llama, TEXT, spectra=["query"])
    with pytest.raises(ValueError, match="curvature"):
        layer_curve(queries, "curvature")
    with pytest.raises(ValueError, match=r'spectra of value: .*"value"'):
        layer_curve(queries, kind="value")
    with pytest.raises(KeyError):
        layer_curve(run, "entropy")


def test_a_layer_that_overflowed_is_missing_and_the_rest_is_there(fresh_llama, tmp_path):
    with torch.no_grad():
        fresh_llama.model.model.layers[1].mlp.down_proj.weight[3, 5] = torch.inf
    run = an.trace(fresh_llama, TEXT)
    curve = layer_curve(run)["value"]
    assert np.isfinite(curve[:2]).all() and np.isnan(curve[2])
    assert np.isnan(layer_curve(run, order=2)["value"][2]) and np.isnan(run.layers.curvature[0, 2])
    again = an.load_trace(run.save(tmp_path / "run.trace"))
    np.testing.assert_array_equal(again.layers.spectrum, run.layers.spectrum)
    found = collapse_layer([run])
    assert found.layer is None and np.isnan(found.drop[0, 1]) and np.isfinite(found.drop[0, 0])


def test_a_text_without_its_first_token_may_have_nothing_to_measure():
    """Without its first token a text of two has one state: nothing to compare."""
    short = made([0.0, 0.0])
    short.layers.spectrum[1] = np.nan
    found = collapse_layer([short], first_token=False)
    assert found.layer is None and found.reason == "none of the texts was measured"
    assert (found.n_measured, found.candidate) == (0, 1) and np.isnan(found.largest_drop)


# The collapse layer -----------------------------------------------------------------------------------


def made(curve, kind="states", without=None):
    """A run whose matrix entropies are those of the curve, exactly."""

    def shares(entropies):
        rows = []
        for entropy in entropies:
            n = math.floor(math.exp(entropy))
            low, high = 0.0, 1 / (n + 1)
            for _ in range(80):  # n equal shares and a smaller one, found by halving
                rest = (low + high) / 2
                p = np.array([(1 - rest) / n] * n + [rest])
                low, high = (rest, high) if -(p * np.log(p)).sum() < entropy else (low, rest)
            rows.append(np.pad(p, (0, 200 - len(p))))
        return np.array(rows)

    both = np.stack([shares(curve), shares(curve if without is None else without)])
    field = {"states": "spectrum"}.get(kind, f"{kind}_spectrum")
    layers = LayerTrace(np.ones((len(curve), 5), np.float32), **{field: both})
    return SimpleNamespace(layers=layers, unavailable={}, spec=SimpleNamespace(n_tokens=300, hidden_size=400))


def test_the_helper_makes_the_curve_it_is_given():
    np.testing.assert_allclose(layer_curve(made([4.0, 2.5, 0.7]))["value"], [4.0, 2.5, 0.7], atol=1e-9)


def test_a_sharp_drop_of_all_texts_is_found():
    texts = {
        "one": made([4.0, 3.9, 2.0, 1.9, 2.1]),
        "two": made([4.2, 4.0, 2.4, 2.4, 2.2]),
        "three": made([3.8, 3.7, 1.5, 1.5, 1.6]),
    }
    found = collapse_layer(texts)
    assert found.layer == found.candidate == 2 and found.reason == "" and found.agreeing == 1.0
    assert found.names == ("one", "two", "three") and found.drop.shape == (3, 4)
    assert found.drop[0] == pytest.approx([1 - 3.9 / 4, 1 - 2 / 3.9, 1 - 1.9 / 2, 1 - 2.1 / 1.9], abs=1e-8)
    assert found.median_drop[1] == pytest.approx(1 - 2.0 / 3.9, abs=1e-8)
    frame = found.to_frame()
    assert list(frame.columns) == ["text", "layer", "drop"] and len(frame) == 12
    own = frame[(frame["text"] == "two") & (frame["layer"] == 2)]
    assert own["drop"].item() == pytest.approx(1 - 2.4 / 4.0, abs=1e-8)


def test_under_10_per_cent_there_is_none():
    for before, after, layer in ((4.0, 3.61, None), (4.0, 3.59, 2)):
        found = collapse_layer([made([4.0, before, after, after])] * 3)
        assert found.layer == layer and found.candidate == 2
    assert "9.5 %" in collapse_layer([made([4.0, 4.0, 3.62])]).reason
    rising = collapse_layer([made([1.0, 2.0, 3.0])])
    assert rising.layer is None and rising.median_drop.max() < 0
    assert rising.reason == "matrix entropy, in the median, rises into every layer"
    unknown = replace(rising, drop=np.array([[np.nan, -0.5]]))
    assert unknown.candidate == 2 and unknown.largest_drop == -0.5 and "every" not in unknown.reason


def at(layer, n_layers=8):
    """A text that loses half of its entropy in one layer and a little everywhere."""
    steps = np.full(n_layers, 0.97)
    steps[layer - 1] = 0.5
    return made(5.0 * np.concatenate([[1], np.cumprod(steps)]))


def test_texts_that_disagree_have_none():
    found = collapse_layer([at(3)] * 7 + [at(6)] * 3)
    assert found.candidate == 3 and found.agreeing == pytest.approx(0.7)
    assert found.layer is None and "only 70 % of the texts" in found.reason
    assert collapse_layer([at(3)] * 8 + [at(6)] * 2).layer == 3  # 80 % is enough


def test_one_layer_more_or_less_agrees():
    found = collapse_layer([at(3)] * 6 + [at(2)] * 2 + [at(4)] * 2)
    assert found.layer == 3 and found.agreeing == 1.0
    assert collapse_layer([at(3)] * 6 + [at(1)] * 2 + [at(5)] * 2).layer is None


def test_the_median_decides_not_the_mean():
    """One text that falls to nothing does not make a collapse layer."""
    found = collapse_layer([made([4.0, 3.8, 3.7])] * 4 + [made([4.0, 3.9, 0.01])])
    assert found.layer is None and found.median_drop.max() < 0.06


@pytest.mark.parametrize("kind", ["query", "key", "value"])
def test_blocks_are_counted_from_1(kind):
    """The states of block l are entry l - 1, and nothing comes before block 1."""
    found = collapse_layer([made([4.0, 3.9, 1.0, 1.0], kind)] * 2, kind=kind)
    assert found.layer == 3 and found.drop.shape == (2, 4)
    assert (found.drop[:, 0] == 0).all() and found.drop[0, 2] == pytest.approx(1 - 1 / 3.9, abs=1e-8)
    assert layer_curve(made([4.0, 3.9, 1.0, 1.0], kind), kind=kind)["layer"].tolist() == [1, 2, 3, 4]


def test_without_token_0():
    run = made([4.0, 4.0, 1.0], without=[4.0, 3.0, 2.9])
    assert collapse_layer([run]).layer == 2
    assert collapse_layer([run], first_token=False).layer == 1


def test_runs_that_cannot_be_compared():
    with pytest.raises(ValueError, match="at least one run"):
        collapse_layer([])
    with pytest.raises(ValueError, match="different numbers of layers"):
        collapse_layer([made([4.0, 3.0]), made([4.0, 3.0, 2.0])])
    with pytest.raises(ValueError, match="two layers"):
        collapse_layer([made([4.0], "key")], kind="key")
    with pytest.raises(ValueError, match="no spectra of query"):
        collapse_layer([made([4.0, 3.0])], kind="query")


def test_texts_without_names_get_numbers(run):
    assert collapse_layer([run, run]).names == ("text 1", "text 2")


@pytest.mark.slow
@pytest.mark.embedded
def test_smollm2_collapses_at_the_layer_of_its_massive_activation(smollm2):
    """Where token 0's state becomes enormous; without token 0 nothing falls there."""
    texts = {
        "letter": "Dear Anna, the parcel came on Tuesday, and the children have not stopped asking for you. "
        * 3,
        "code": "def area(radius):\n    return 3.14159 * radius ** 2\n\nprint(area(2.0), area(3.5))\n" * 3,
        "law": "No person shall be held to answer for a crime unless on an indictment of a jury. " * 3,
    }
    runs = {name: an.trace(smollm2, text, attention=False) for name, text in texts.items()}
    found, without = collapse_layer(runs), collapse_layer(runs, first_token=False)
    assert found.layer is not None and found.agreeing == 1.0
    norm = runs["letter"].layers.residual_norm[:, 0].astype(float)
    assert abs(found.layer - int(np.argmax(norm[1:] / norm[:-1])) - 1) <= 1
    assert without.median_drop[found.layer - 1] < 0.5 * found.median_drop[found.layer - 1]


# Folders of checkpoints -------------------------------------------------------------------------------


def folders(root, *names, config=True):
    for name in names:
        (root / name).mkdir(parents=True)
        if config:
            (root / name / "config.json").write_text("{}")


def test_checkpoints_by_rising_step(tmp_path):
    folders(tmp_path, "checkpoint-200", "checkpoint-30", "checkpoint-1000")
    folders(tmp_path, "runs-5", config=False)
    (tmp_path / "notes-7.txt").write_text("no folder")
    folders(tmp_path, "final")
    assert [(step, path.name) for step, path in find_checkpoints(tmp_path)] == [
        (30, "checkpoint-30"),
        (200, "checkpoint-200"),
        (1000, "checkpoint-1000"),
    ]
    assert (
        find_checkpoints(str(tmp_path)) == find_checkpoints(tmp_path) == find_checkpoints(f" '{tmp_path}' ")
    )


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-100", 100),
        ("step1000", 1000),
        ("step1000-tokens4B", 1000),
        ("stage1-step140000-tokens294B", 140000),
        ("global_step_80", 80),
        ("Checkpoint_7_hf", 7),
        ("v2-0500", 500),
        ("epoch3", 3),
    ],
)
def test_steps_in_names(tmp_path, name, step):
    folders(tmp_path, name, "zz-999999")
    assert find_checkpoints(tmp_path)[0][0] == step


def test_folders_that_hold_no_training(tmp_path, monkeypatch):
    with pytest.raises(AnalysisError, match="There is no folder"):
        find_checkpoints(tmp_path / "absent")
    with pytest.raises(AnalysisError, match="holds 0 checkpoints"):
        find_checkpoints(tmp_path)
    folders(tmp_path, "checkpoint-1")
    with pytest.raises(AnalysisError, match="holds 1 checkpoint\\.") as caught:
        find_checkpoints(tmp_path)
    assert "checkpoint-100" in caught.value.hint
    monkeypatch.setattr(checkpoints, "MOST_CHECKPOINTS", 2)
    folders(tmp_path, "checkpoint-2", "checkpoint-3")
    with pytest.raises(AnalysisError, match="holds 3 checkpoints"):
        find_checkpoints(tmp_path)


@pytest.mark.parametrize("wrong", ["~nobody-of-that-name/x", "x" * 5000, "a\0b", "/dev/null", "///"])
def test_odd_paths_are_said_not_raised(wrong):
    with pytest.raises(AnalysisError) as caught:
        find_checkpoints(wrong)
    assert caught.value.hint and len(caught.value.message) < 6000


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Three tiny checkpoints, the last of another seed and scale."""
    root = tmp_path_factory.mktemp("training")
    for step, seed in ((100, 0), (20, 1), (300, 2)):
        save_tiny("llama", root / f"checkpoint-{step}", seed=seed)
    return root


def test_every_checkpoint_is_read_with_the_same_text(training):
    reported, partial = [], []
    shapes = compare_checkpoints(
        training,
        TEXT,
        device="cpu",
        on_progress=lambda share, what: reported.append((share, what)),
        on_partial=lambda done: partial.append([shape.name for shape in done]),
    )
    assert [shape.step for shape in shapes] == [20, 100, 300]
    assert [shape.name for shape in shapes] == ["step 20", "step 100", "step 300"]
    assert partial == [["step 20"], ["step 20", "step 100"], ["step 20", "step 100", "step 300"]]
    assert [share for share, _ in reported] == sorted(share for share, _ in reported)
    assert reported[-1][0] == 1.0 and reported[0] == (0.0, "step 20: loading")
    for shape in shapes:
        run = an.trace(an.load_model(str(training / f"checkpoint-{shape.step}")), TEXT)
        np.testing.assert_allclose(shape.spectrum, run.layers.spectrum, atol=1e-6)
        np.testing.assert_allclose(shape.entropy(), run.layers.matrix_entropy, atol=1e-6)
        np.testing.assert_allclose(
            shape.entropy(2, first_token=False), renyi_entropy(run.layers.spectrum[1], 2), atol=1e-6
        )
        states = run.final_states.astype(np.float64)
        assert shape.n_tokens == len(states)
        singular = np.linalg.svd(states, compute_uv=False)
        p = singular / singular.sum()
        assert shape.rank_singular == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)
        centred = states - states.mean(0)
        assert shape.rank_eigen == pytest.approx(dense_rank(centred), rel=1e-6)
        rows = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        assert shape.erank == pytest.approx(dense_rank(rows), rel=1e-6)
        assert math.isnan(shape.alpha) and math.isnan(shape.alpha_r_squared)
    frame = shapes_frame(shapes)
    assert frame["step"].tolist() == [20, 100, 300] and frame["name"].tolist()[0] == "step 20"
    assert frame["rank_eigen"].tolist() == [shape.rank_eigen for shape in shapes]
    assert phases(shapes) == []


def dense_rank(rows):
    p = np.linalg.svd(rows, compute_uv=False) ** 2
    p = p[p > 1e-14 * p.sum()] / p.sum()
    return np.exp(-(p * np.log(p)).sum())


def test_the_model_that_fails_is_named(training, tmp_path):
    for name in ("checkpoint-20", "checkpoint-100"):
        shutil.copytree(training / name, tmp_path / name)
    (tmp_path / "checkpoint-100" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(AnalysisError, match=r"^step 100: "):
        compare_checkpoints(tmp_path, TEXT)
    with pytest.raises(AnalysisError, match=r"^checkpoint-100: "):
        compare_models([(str(tmp_path / "checkpoint-100"), None)], TEXT)
    with pytest.raises(AnalysisError, match=r"^a b: "):
        compare_models([("a b", None)], TEXT)
    with pytest.raises(AnalysisError, match=r"^step 20: .*single token"):
        compare_models([(str(training / "checkpoint-20"), 20)], "a")


def test_models_are_never_called_the_same(training, tmp_path):
    shutil.copytree(training / "checkpoint-20", tmp_path / "checkpoint-100")
    sources = [str(training / "checkpoint-100"), str(tmp_path / "checkpoint-100")]
    assert [shape.name for shape in compare_models([(s, None) for s in sources], TEXT)] == sources
    twice = compare_models([(sources[0], None), (sources[0], None)], TEXT)
    assert [shape.name for shape in twice] == [f"{sources[0]} (1)", f"{sources[0]} (2)"]
    np.testing.assert_array_equal(twice[0].spectrum, twice[1].spectrum)


def test_a_comparison_can_be_cancelled(training):
    def stop(share, _what):
        if share > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        compare_checkpoints(training, TEXT, on_progress=stop)


def test_runs_without_spectra_have_no_shape(llama):
    with pytest.raises(ValueError, match="no spectra or no final states"):
        model_shape(an.trace(llama, TEXT, spectra=False))
    run = an.trace(llama, TEXT)
    assert model_shape(run).name == run.spec.model and model_shape(run, "mine", 3).step == 3


# Phases -----------------------------------------------------------------------------------------------


def shape(step, rank):
    return ModelShape(f"step {step}", step, 50, np.zeros((2, 3, 4)), rank, rank, rank, 1.0, 1.0)


def told(*ranks, steps=None):
    return phases([shape(step, rank) for step, rank in zip(steps or range(len(ranks)), ranks, strict=True)])


def test_three_phases():
    found = told(40, 10, 30, 60, 50, 30, steps=[1, 10, 100, 500, 900, 1000])
    assert found == [
        Phase("collapse", 1, 10),
        Phase("expansion", 10, 500),
        Phase("compression", 500, 1000),
    ]


def test_phases_that_do_not_happen_are_not_told():
    assert told(10, 20, 30, 40) == [Phase("expansion", 0, 3)]
    assert told(40, 30, 20, 10) == [Phase("compression", 0, 3)]
    assert told(20, 20.1, 19.9, 20) == []
    assert told(10, 20, 30, 29) == [Phase("expansion", 0, 2)]  # the last 3 % are noise
    assert told(31, 30, 35, 20) == [Phase("expansion", 1, 2), Phase("compression", 2, 3)]
    assert told(100, 40, 60, 50) == [
        Phase("collapse", 0, 1),
        Phase("expansion", 1, 2),
        Phase("compression", 2, 3),
    ]


def test_phases_need_four_steps():
    assert told(40, 10, 60) == []
    assert told(40, np.nan, 10, 60) == []
    models = [shape(None, 10.0 * i) for i in range(1, 6)]
    assert phases(models) == []
    assert told(40, np.nan, 10, 60, 30) == [
        Phase("collapse", 0, 2),
        Phase("expansion", 2, 3),
        Phase("compression", 3, 4),
    ]


# The untrained twin -----------------------------------------------------------------------------------


def weights(model):
    return {name: p.detach().clone() for name, p in model.model.named_parameters()}


def test_the_twin_has_the_same_shape_and_other_weights(llama):
    before, state = weights(llama), torch.get_rng_state()
    twin = untrained_twin(llama)
    assert torch.equal(torch.get_rng_state(), state)
    mine, its = weights(llama), weights(twin)
    assert {n: p.shape for n, p in mine.items()} == {n: p.shape for n, p in its.items()}
    assert all(torch.equal(mine[name], before[name]) for name in mine)
    matrices = [name for name, p in mine.items() if p.dim() == 2]
    assert matrices and not any(torch.equal(mine[name], its[name]) for name in matrices)
    assert {p.dtype for p in its.values()} == {p.dtype for p in mine.values()}
    assert not any(p.requires_grad for p in twin.model.parameters()) and not twin.model.training
    assert twin.tokenizer is llama.tokenizer and "untrained (seed 0)" in twin.info.name
    spread = twin.model.model.layers[0].self_attn.q_proj.weight.std().item()
    assert spread == pytest.approx(llama.model.config.initializer_range, rel=0.05)


def test_twins_of_a_seed_are_alike(llama):
    one, two, other = untrained_twin(llama), untrained_twin(llama), untrained_twin(llama, seed=1)
    same = [torch.equal(a, b) for a, b in zip(weights(one).values(), weights(two).values(), strict=True)]
    assert all(same)
    a, b = weights(one)["model.embed_tokens.weight"], weights(other)["model.embed_tokens.weight"]
    assert not torch.equal(a, b)


def test_a_twin_is_read_like_any_model_and_shares_no_settings(llama):
    twin = untrained_twin(llama)
    assert twin.model.config is not llama.model.config and twin.lock is not llama.lock
    plain = an.trace(llama, TEXT)
    seen = set()

    def watch(_share, _what):
        seen.add(llama.model.config._attn_implementation)

    run = an.trace(twin, TEXT, on_progress=watch)
    assert run.attention is not None and run.spec.model == twin.info.name
    assert seen == {llama.model.config._attn_implementation} and "logitscope_measured" not in seen
    assert run.layers.matrix_entropy.shape == plain.layers.matrix_entropy.shape
    assert np.abs(run.layers.matrix_entropy - plain.layers.matrix_entropy).max() > 0.01
    again = an.trace(llama, TEXT)
    np.testing.assert_array_equal(again.layers.spectrum, plain.layers.spectrum)


@pytest.mark.slow
@pytest.mark.embedded
def test_diff_erank_of_smollm2(smollm2):
    """Diff-eRank: both final states by transformers, their covariance in float64."""
    from transformers import AutoModelForCausalLM

    text = "The harbour was quiet that morning. Two fishermen mended a net on the wall and said nothing."
    run = an.trace(smollm2, text, attention=False)
    twin = untrained_twin(smollm2)
    eranks = [model_shape(run).erank, model_shape(an.trace(twin, text, attention=False)).erank]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = AutoModelForCausalLM.from_config(smollm2.model.config).eval()
    expected = []
    for model in (smollm2.model, fresh):
        with torch.inference_mode():
            ids = torch.from_numpy(run.tokens.token_id)[None]
            states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states[-1][0]
        z = states.double().numpy()
        z = z - z.mean(0)
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        values = np.linalg.eigvalsh(z @ z.T / len(z))
        values = values[values > 1e-12] / values.sum()
        expected.append(np.exp(-(values * np.log(values)).sum()))
    assert eranks == pytest.approx(expected, rel=1e-4)
    assert abs(eranks[1] - eranks[0]) > 1


def test_alpha_of_a_shape_is_that_of_its_centred_states(llama):
    run = an.trace(llama, TEXT)
    states = np.random.default_rng(0).standard_normal((150, 130)).astype(np.float32) + 3
    wide = model_shape(replace(run, final_states=states))
    values = np.linalg.svd(states.astype(float) - states.mean(0, dtype=float), compute_uv=False) ** 2
    fit = alpha_req(values / values.sum())
    assert wide.alpha == pytest.approx(fit.alpha, abs=1e-9)
    assert wide.alpha_r_squared == pytest.approx(fit.r_squared, abs=1e-9)
    assert isinstance(shapes_frame([wide]), pd.DataFrame)
