"""Spectra of a run against dense float64 singular values of transformers' own states.

The reference shares nothing with the package: states come from ``output_hidden_states``, queries, keys and
values from an attention function written here, shares from a singular value decomposition.
"""

from __future__ import annotations

import copy
import gc
import os
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import threadpoolctl
import torch
from transformers import AttentionInterface, AutoModelForCausalLM

import analysis as an
from analysis.errors import Cancelled
from analysis.forward import layer_spectra
from analysis.forward.layer_spectra import KINDS, Spectra
from analysis.results.layers import SPECTRUM_FIELDS
from analysis.results.spectra import effective_rank, effective_rank_singular, renyi_entropy
from analysis.results.validate import check_trace
from tests.tiny_models.families import FAMILIES, FAMILIES_EXTRA

pytestmark = pytest.mark.kernels
ALL = FAMILIES + FAMILIES_EXTRA
TEXT = (
    "The cat sat on the mat, and the dog ran to the river in the morning; it was not there.\n\n"
    "Naïve 🙂👩‍🚀 café:\t12 + 30 = 42.  He re-read one of the letters, again and again — 今日は.\n"
)
STORY = (
    "The harbour was quiet that morning. Two fishermen mended a net on the wall and said nothing, because "
    "everything there was to say about the weather had been said the day before. A boat had come in at dawn "
    "with a man nobody knew. He carried a small box under his arm and asked the way to the lighthouse, and "
    "when they told him that the lighthouse had been closed for twenty years he thanked them and walked on."
)
CAUGHT = []


def eager(module, query, key, value, mask, scaling=None, softcap=None, sliding_window=None, s_aux=None, **_):
    """Dense attention that keeps what it was given."""
    CAUGHT.append([x[0].transpose(0, 1).flatten(1).clone() for x in (query, key, value)])
    n, repeat = query.shape[2], query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(repeat, 1) for x in (key, value))
    scores = query @ key.transpose(2, 3) * (scaling if scaling is not None else query.shape[-1] ** -0.5)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    i, j = torch.arange(n)[:, None], torch.arange(n)
    seen = (j <= i) & ((i - j < sliding_window) if sliding_window else True)
    scores = scores.masked_fill(~seen, -torch.inf)
    if s_aux is not None:
        sinks = s_aux[None, :, None, None].expand(1, -1, n, 1)
        weights = torch.cat([scores, sinks], -1).softmax(-1)[..., :-1]
    else:
        weights = scores.softmax(-1)
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register("eager_of_this_test", eager)


def reference(model, ids):
    """States of every layer but the last (that one is normed), and q, k, v of every block."""
    CAUGHT.clear()
    model = copy.deepcopy(model)  # the library leaves hooks on a model that was asked for its states
    layers = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
    last = {}
    handle = layers[-1].register_forward_hook(
        lambda _m, _a, out: last.update(state=out[0] if isinstance(out, tuple) else out)
    )
    with torch.inference_mode():
        out = model(input_ids=torch.from_numpy(ids)[None], output_hidden_states=True, use_cache=False)
    handle.remove()
    states = [*out.hidden_states[:-1], last["state"]]
    found = {"states": [h.reshape(len(ids), -1) for h in states]}
    found |= {kind: [layer[i] for layer in CAUGHT] for i, kind in enumerate(("query", "key", "value"))}
    return found


def dense(rows):
    """Matrix entropy and both effective ranks."""
    rows = rows.double().numpy()
    rows = rows - rows.mean(0)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    singular = np.linalg.svd(rows / np.where(norm > 0, norm, 1), compute_uv=False)
    singular = singular[singular > 1e-7 * singular[0]]
    share, by_singular = singular**2 / (singular**2).sum(), singular / singular.sum()
    entropy = -(share * np.log(share)).sum()
    return entropy, np.exp(entropy), np.exp(-(by_singular * np.log(by_singular)).sum())


def assert_equal_spectra(run, states, every=1):
    for kind, layers in states.items():
        shares = getattr(run.layers, SPECTRUM_FIELDS[kind])
        n, width = layers[0].shape
        assert shares.shape == (2, len(layers), min(n, width)) and shares.dtype == np.float64, kind
        np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-12)
        for first in (0, 1):
            for layer, rows in list(enumerate(layers))[::every]:
                entropy, rank, rank_singular = dense(rows[first:])
                ours = shares[first, layer]
                where = f"{kind} of layer {layer}, from token {first}"
                assert renyi_entropy(ours) == pytest.approx(entropy, abs=1e-6), where
                assert effective_rank(ours) == pytest.approx(rank, rel=1e-6), where
                assert effective_rank_singular(ours) == pytest.approx(rank_singular, rel=1e-6), where


@pytest.mark.parametrize("family", ALL)
def test_every_family(family, load_tiny, tiny_folder):
    run = an.trace(load_tiny(family), TEXT, spectra=KINDS)
    model = AutoModelForCausalLM.from_pretrained(
        tiny_folder(family), attn_implementation="eager_of_this_test", dtype=torch.float32
    ).eval()
    states = reference(model, run.tokens.token_id)
    assert {kind: len(layers) for kind, layers in states.items()} == dict.fromkeys(
        KINDS, run.spec.n_layers
    ) | {"states": run.spec.n_layers + 1}
    assert_equal_spectra(run, states)
    assert run.spec.spectra == KINDS and "spectra" not in run.unavailable
    np.testing.assert_allclose(run.layers.matrix_entropy, renyi_entropy(run.layers.spectrum[0]))
    np.testing.assert_allclose(run.layers.effective_rank, np.exp(run.layers.matrix_entropy))


def test_more_tokens_than_width_and_the_reverse(load_tiny, tiny_folder):
    model = AutoModelForCausalLM.from_pretrained(
        tiny_folder("qwen3"), attn_implementation="eager_of_this_test", dtype=torch.float32
    ).eval()
    for text, sides in ((TEXT[:30], (30, 30, 30)), (TEXT * 2, (64, 96, 48))):
        run = an.trace(load_tiny("qwen3"), text, spectra=KINDS)
        assert_equal_spectra(run, reference(model, run.tokens.token_id))
        found = tuple(getattr(run.layers, SPECTRUM_FIELDS[k]).shape[2] for k in ("states", "query", "key"))
        assert found == tuple(min(side, len(run.tokens)) for side in sides)


@pytest.mark.embedded
def test_smollm2(smollm2):
    from analysis.models.embedded import embedded_folder

    run = an.trace(smollm2, STORY, spectra=KINDS)
    assert 80 <= len(run.tokens) <= 130
    model = AutoModelForCausalLM.from_pretrained(
        embedded_folder(), attn_implementation="eager_of_this_test", dtype=torch.float32
    ).eval()
    states = reference(model, run.tokens.token_id)
    assert len(CAUGHT) == 30
    assert_equal_spectra(run, states, every=5)  # 0, 5, ... and 30, the last
    angles = []
    for layer in states["states"]:
        steps = np.diff(layer.double().numpy(), axis=0)
        norm = np.linalg.norm(steps, axis=1)
        with np.errstate(invalid="ignore"):
            cosine = (steps[1:] * steps[:-1]).sum(1) / (norm[1:] * norm[:-1])
        angles.append(np.arccos(np.clip(cosine, -1, 1)))
    for first in (0, 1):
        expected = [np.nanmean(layer[first:]) for layer in angles]
        np.testing.assert_allclose(run.layers.curvature[first], expected, atol=1e-5)


def test_a_repeated_token_does_not_take_the_curvature_of_layer_0(llama):
    """Equal embeddings make a step of no length, which has no angle; the others have."""
    run = an.trace(llama, "abcdd eff ghij")
    rows = llama.model.get_input_embeddings().weight[run.tokens.token_id].double().detach().numpy()
    steps = np.diff(rows, axis=0)
    norm = np.linalg.norm(steps, axis=1)
    assert (norm == 0).sum() == 2
    with np.errstate(invalid="ignore"):
        cosine = (steps[1:] * steps[:-1]).sum(1) / (norm[1:] * norm[:-1])
    known = np.arccos(cosine[~np.isnan(cosine)])
    assert len(known) == len(cosine) - 4
    assert run.layers.curvature[0, 0] == pytest.approx(known.mean(), abs=1e-6)
    assert np.isfinite(run.layers.curvature).all()


# What is taken, and why not ---------------------------------------------------------------------------


def test_kinds(llama):
    fields = set(SPECTRUM_FIELDS.values())

    def taken(run):
        return {name for name in fields if getattr(run.layers, name) is not None}

    assert taken(an.trace(llama, TEXT)) == {"spectrum"}
    run = an.trace(llama, TEXT, spectra=False)
    assert taken(run) == set() and run.spec.spectra == () and run.layers.curvature is None
    assert run.layers.matrix_entropy is None and run.layers.effective_rank is None
    assert run.unavailable["spectra"] == "The run was made without them."
    run = an.trace(llama, TEXT, spectra=["value", "query"])
    assert taken(run) == {"query_spectrum", "value_spectrum"} and run.spec.spectra == ("query", "value")
    run = an.trace(llama, TEXT, spectra=["key", "states"])
    assert taken(run) == {"spectrum", "key_spectrum"} and run.spec.spectra == ("states", "key")
    for wrong in (["layers"], "states", ["states", "Query"]):
        with pytest.raises(ValueError, match="states, query, key, value"):
            an.trace(llama, TEXT, spectra=wrong)


def test_states_need_no_attention(llama):
    run = an.trace(llama, TEXT, attention=False)
    assert run.attention is None
    entropy = an.trace(llama, TEXT).layers.matrix_entropy
    np.testing.assert_allclose(run.layers.matrix_entropy, entropy, atol=1e-6)


def test_windows_have_no_spectra(llama):
    run = an.trace(llama, TEXT, window=50, stride=25, spectra=KINDS)
    assert run.layers.spectrum is None and run.spec.spectra == ()
    assert "windows" in run.unavailable["spectra"]


def test_a_large_side_is_left_out_unless_asked_for(llama, monkeypatch):
    monkeypatch.setattr("analysis.forward.trace.LARGEST_SIDE", 40)
    run = an.trace(llama, TEXT)
    assert run.layers.spectrum is None
    assert "width 64" in run.unavailable["spectra"] and 'spectra=["states"]' in run.unavailable["spectra"]
    assert an.trace(llama, TEXT[:40]).layers.spectrum is not None  # the smaller side counts
    forced = an.trace(llama, TEXT, spectra=["states"])
    assert forced.layers.spectrum.shape[2] == 64 and "spectra" not in forced.unavailable


def test_two_tokens_have_one_direction_and_one_token_none(llama):
    run = an.trace(llama, "ab", spectra=KINDS)
    for name in SPECTRUM_FIELDS.values():
        shares = getattr(run.layers, name)
        np.testing.assert_allclose(shares[0], [[1, 0]] * shares.shape[1], atol=1e-12)
        assert np.isnan(shares[1]).all()
    assert np.isnan(run.layers.curvature).all()
    check_trace(run)


def test_hidden_attention_changes_the_spectra(llama):
    from analysis.forward.visibility import Visibility

    plain = an.trace(llama, TEXT, spectra=KINDS)
    hidden = an.trace(llama, TEXT, spectra=KINDS, visibility=Visibility(window=8, n_sink=1))
    np.testing.assert_array_equal(plain.layers.spectrum[:, 0], hidden.layers.spectrum[:, 0])
    np.testing.assert_array_equal(plain.layers.key_spectrum[:, 0], hidden.layers.key_spectrum[:, 0])
    for name in SPECTRUM_FIELDS.values():
        before, after = getattr(plain.layers, name), getattr(hidden.layers, name)
        assert np.abs(before[:, -1] - after[:, -1]).max() > 1e-4, name


def test_an_overflowed_model_gives_nan_not_an_error():
    spectra = Spectra(("states",), 2)
    states = torch.randn(20, 64)
    with spectra.collecting():
        spectra.take("states", 0, states)
        states[4, 2] = torch.inf
        spectra.take("states", 1, states)
        states[4, 2] = torch.nan
        spectra.take("states", 2, states)
    assert np.isfinite(spectra.shares["states"][:, 0]).all() and np.isfinite(spectra.curvature[:, 0]).all()
    assert np.isnan(spectra.shares["states"][:, 1:]).all() and np.isnan(spectra.curvature[:, 1:]).all()


# How it runs ------------------------------------------------------------------------------------------


def spectrum_threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("spectra")]


def blas_threads():
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]


def assert_same_spectra(a, b):
    for name in (*SPECTRUM_FIELDS.values(), "curvature"):
        assert getattr(a.layers, name).tobytes() == getattr(b.layers, name).tobytes(), name


def test_two_runs_are_the_same_bit_for_bit(llama):
    assert_same_spectra(an.trace(llama, TEXT, spectra=KINDS), an.trace(llama, TEXT, spectra=KINDS))


def test_threads_are_put_back(llama):
    before, torch_threads = blas_threads(), torch.get_num_threads()
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    an.trace(llama, TEXT, spectra=KINDS)
    assert blas_threads() == before and torch.get_num_threads() == torch_threads
    assert spectrum_threads() == [] and os.getpriority(os.PRIO_PROCESS, 0) == nice


@pytest.mark.parametrize("at", ["layer 0/", "layer 1/", "layer 2/", "vocabulary"])
def test_a_cancelled_run_leaves_nothing_behind(llama, at):
    fresh = an.trace(llama, TEXT, spectra=KINDS)
    before = blas_threads()

    def stop(_share, what):
        if what.startswith(at):
            raise Cancelled

    with pytest.raises(Cancelled):
        an.trace(llama, TEXT, spectra=KINDS, on_progress=stop)
    assert spectrum_threads() == [] and blas_threads() == before
    assert_same_spectra(an.trace(llama, TEXT, spectra=KINDS), fresh)


def test_a_reduction_that_fails_ends_the_run_with_its_error(llama, monkeypatch):
    def fail(_states):
        raise ArithmeticError("no such spectrum")

    monkeypatch.setattr(layer_spectra, "shares_with_and_without_first", fail)
    with pytest.raises(ArithmeticError, match="no such spectrum"):
        an.trace(llama, TEXT)
    assert spectrum_threads() == []
    monkeypatch.undo()
    assert an.trace(llama, TEXT).layers.spectrum is not None


def test_no_layer_stack_is_kept(monkeypatch):
    """However slow the reductions, the states of at most three layers are alive at any time."""
    handed, most = [], []

    class AtTheLastMoment:
        """A pool as slow as can be: it does nothing before somebody waits for it."""

        def __init__(self, *_options, **_more):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            pass

        def submit(self, function, kind, layer, values):
            handed.append(weakref.ref(values))
            return SimpleNamespace(result=lambda: function(kind, layer, values), cancel=list)

    monkeypatch.setattr(layer_spectra, "ThreadPoolExecutor", AtTheLastMoment)
    spectra = Spectra(("states",), 24)
    with spectra.collecting():
        for layer in range(25):
            spectra.take("states", layer, torch.randn(32, 16))
            most.append(sum(states() is not None for states in handed))
    gc.collect()
    assert len(handed) == 25 and max(most) <= 3 and all(states() is None for states in handed)
    np.testing.assert_allclose(spectra.shares["states"].sum(-1), 1)


def test_what_is_handed_over_may_be_written_over():
    """A block that works in place must not change a layer that is still being reduced."""
    spectra, states, expected = Spectra(("states",), 3), torch.randn(200, 150), []
    with spectra.collecting():
        for layer in range(4):
            expected.append(states.clone())
            spectra.take("states", layer, states)
            states.normal_()
    for layer, rows in enumerate(expected):
        assert renyi_entropy(spectra.shares["states"][0, layer]) == pytest.approx(dense(rows)[0], abs=1e-6)
