"""Trace files: everything comes back, nothing hostile gets in, nothing half-written stays."""

from __future__ import annotations

import json
import math
import pickle
import struct
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import analysis as an
from analysis.errors import AnalysisError, BrokenFileError
from analysis.results import trace_file as files
from analysis.results.token_quantities import stored_quantities

TEXT = "The cat 🙂 sat on the mat.\n\x00\u202e <b>Then</b> it </s> left, naïve."


@pytest.fixture(scope="module")
def run(llama):
    return an.trace(llama, TEXT, lens=[0], bos="always", top_k=4, window=15, stride=5)


@pytest.fixture(scope="module")
def data(run):
    return files.trace_bytes(run)


@pytest.fixture(scope="module")
def attended(load_tiny):
    """A run whose attention was measured, with windows and a learned sink."""
    return an.trace(load_tiny("gpt_oss"), TEXT * 2, top_k=4, spectra=["states", "query", "key", "value"])


@pytest.fixture(scope="module")
def attended_data(attended):
    return files.trace_bytes(attended)


def same(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return type(a) is type(b) and a == b


def assert_same(a, b):
    parts = ("tokens", "next", "layers", "attention")
    for part in parts:
        if getattr(a, part) is None:
            assert getattr(b, part) is None, part
            continue
        for field in fields(getattr(a, part)):
            x, y = getattr(getattr(a, part), field.name), getattr(getattr(b, part), field.name)
            assert same(x, y), f"{part}.{field.name}"
    for field in fields(a):
        if field.name not in parts:
            assert same(getattr(a, field.name), getattr(b, field.name)), field.name


# Round trip -------------------------------------------------------------------------------------------


def test_everything_comes_back_bit_for_bit(run, tmp_path):
    path = run.save(tmp_path / "run.trace")
    assert path == tmp_path / "run.trace"
    opened = an.load_trace(path)
    assert_same(run, opened)
    assert opened.spec == run.spec and hash(opened.spec) == hash(run.spec)
    assert opened.checks == run.checks and all(c.passed for c in opened.checks)
    assert opened.tokens.to_frame().equals(run.tokens.to_frame())


def test_without_lens_and_states(llama, tmp_path):
    run = replace(an.trace(llama, TEXT), final_states=None)
    opened = an.load_trace(run.save(str(tmp_path / "run.trace")))
    assert opened.final_states is None and opened.layers.lens_entropy is None
    assert_same(run, opened)


def test_attention_comes_back_bit_for_bit(attended, tmp_path):
    opened = an.load_trace(attended.save(tmp_path / "run.trace"))
    assert_same(attended, opened)
    assert opened.attention.learned_sink is not None and {0, 32} == set(opened.attention.window.tolist())
    assert opened.unavailable == {}


def test_why_attention_is_missing_comes_back(llama, run, tmp_path):
    opened = an.load_trace(run.save(tmp_path / "windows.trace"))
    assert opened.attention is None and "windows" in opened.unavailable["attention"]
    plain = an.trace(llama, TEXT, attention=False)
    opened = an.load_trace(plain.save(tmp_path / "plain.trace"))
    assert opened.attention is None and opened.unavailable == plain.unavailable != {}


def test_what_was_hidden_comes_back(llama, tmp_path):
    from analysis.forward.visibility import Visibility

    hidden = np.zeros(an.trace(llama, TEXT).spec.n_tokens, bool)
    hidden[0] = True
    run = an.trace(llama, TEXT, visibility=Visibility(hidden=hidden, first_query=1))
    assert an.load_trace(run.save(tmp_path / "run.trace")).spec.visibility == run.spec.visibility != ""


def test_views_and_odd_orders_come_back(run, tmp_path):
    """Arrays that are not contiguous would be written in the wrong order as they lie."""
    turned = replace(run.tokens, top_logprobs=np.asfortranarray(run.tokens.top_logprobs))
    opened = an.load_trace(replace(run, tokens=turned).save(tmp_path / "run.trace"))
    np.testing.assert_array_equal(opened.tokens.top_logprobs, run.tokens.top_logprobs)


def test_numbers_that_json_does_not_know(run, tmp_path):
    odd = replace(run, next=replace(run.next, entropy=float("nan"), varentropy=0.1 + 0.2))
    opened = an.load_trace(odd.save(tmp_path / "run.trace"))
    assert math.isnan(opened.next.entropy) and opened.next.varentropy == 0.1 + 0.2


def test_no_model_and_no_torch_is_needed(run, tmp_path):
    import subprocess
    import sys

    path = run.save(tmp_path / "run.trace")
    code = f"import sys, analysis as an; t = an.load_trace({str(path)!r}); print(len(t.tokens), 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(len(run.tokens)), "False"]


# Writing ----------------------------------------------------------------------------------------------


def test_a_failure_leaves_the_old_file(run, tmp_path, monkeypatch):
    path = tmp_path / "run.trace"
    path.write_bytes(b"old")

    def fail(_self, _target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        run.save(path)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["run.trace"]


def test_saving_replaces(run, tmp_path):
    path = tmp_path / "run.trace"
    path.write_bytes(b"old")
    run.save(path)
    assert_same(an.load_trace(path), run)
    assert [p.name for p in tmp_path.iterdir()] == ["run.trace"]


def test_a_place_that_cannot_be_written_is_said(run, tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "nowhere" / "run.trace", tmp_path / "folder"):
        with pytest.raises(AnalysisError) as caught:
            run.save(path)
        assert path.name in caught.value.message and caught.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_saved_file_is_as_open_as_any_other(run, tmp_path):
    """A scratch file is private by default; what replaces a file should not be."""
    (tmp_path / "plain").write_text("x")
    path = run.save(tmp_path / "run.trace")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


# Hostile files ----------------------------------------------------------------------------------------


def broken(data):
    """The file is refused in one sentence."""
    with pytest.raises(BrokenFileError) as caught:
        files.trace_from_bytes(data, "x.trace")
    error = caught.value
    assert (
        "x.trace" in error.message and error.hint and len(error.message) < 300 and "\n" not in error.message
    )


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "none.trace", tmp_path, "\0.trace", "x" * 5000):
        with pytest.raises(BrokenFileError) as caught:
            an.load_trace(path)
        assert caught.value.hint and len(caught.value.message) < 300


def test_cut_at_every_kind_of_place(data):
    header = struct.unpack("<Q", data[:8])[0]
    lengths = {*range(0, 40), header, header + 7, header + 8, header + 9, len(data) - 1, len(data) - 8}
    lengths |= set(np.linspace(0, len(data) - 1, 60).astype(int).tolist())
    for length in lengths:
        broken(data[:length])
    broken(data + b"x")
    broken(b"x" + data)


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes(seed):
    rng = np.random.default_rng(seed)
    for length in (0, 1, 7, 8, 9, 100, 10_000):
        broken(rng.bytes(length))
        broken(struct.pack("<Q", length) + rng.bytes(length))


@pytest.mark.parametrize("length", [0, 1, 1 << 31, 1 << 62, (1 << 64) - 1])
def test_a_header_length_that_lies(data, length):
    broken(struct.pack("<Q", length) + data[8:])


def test_flipped_bytes_open_or_are_refused(data):
    """Noise in the header is refused or harmless; it never raises anything else."""
    rng = np.random.default_rng(0)
    header = struct.unpack("<Q", data[:8])[0]
    refused = 0
    for _ in range(300):
        noisy = bytearray(data)
        for place in rng.integers(0, header + 8, 3):
            noisy[place] = rng.integers(256)
        try:
            files.trace_from_bytes(bytes(noisy))
        except BrokenFileError:
            refused += 1
    assert refused > 150


def test_a_pickle_is_not_read(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.mkdir, (tmp_path / "exploded",))

    broken(pickle.dumps(Bomb()))
    assert not (tmp_path / "exploded").exists()
    assert "pickle" not in Path(files.__file__).read_text()


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, '{"__metadata__":' * 100_000])
def test_deep_json_outside(text):
    broken(struct.pack("<Q", len(text)) + text.encode())


def with_header(data, change):
    """The same arrays under a header that was tampered with: a dict to be changed, or the text itself."""
    length = struct.unpack("<Q", data[:8])[0]
    outer = json.loads(data[8 : 8 + length])
    inner = json.loads(outer["__metadata__"]["logitscope"])
    new = change(inner)
    outer["__metadata__"]["logitscope"] = new if isinstance(new, str) else json.dumps(inner)
    raw = json.dumps(outer).encode()
    return struct.pack("<Q", len(raw)) + raw + data[8 + length :]


def put(entries, key, value):
    """Set an entry, or with an ellipsis take it out."""
    if value is ...:
        del entries[key]
    else:
        entries[key] = value


def test_the_tampering_itself_is_harmless(data, run):
    assert_same(files.trace_from_bytes(with_header(data, lambda h: None)), run)


def test_deep_json_inside(data):
    broken(with_header(data, lambda h: "[" * 200_000))
    broken(with_header(data, lambda h: '{"schema": 1, "plain": ' + "[" * 990 + "]" * 990 + "}"))


NEWER = files.SCHEMA_VERSION + 1


@pytest.mark.parametrize("schema", [0, NEWER, 99, -1, "1", None, 1.5, [1], {"a": 1}, "x" * 100_000, True])
def test_another_schema(data, schema):
    broken(with_header(data, lambda h: h.update(schema=schema)))


def test_a_newer_schema_is_named(data):
    with pytest.raises(BrokenFileError, match=f"trace format {NEWER}; this version reads up to {NEWER - 1}"):
        files.trace_from_bytes(with_header(data, lambda h: h.update(schema=NEWER)))


VALID = (("text", "x"), ("checks", []), ("seconds", {"x": 1}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (key, value)
        for key in ("schema", "spec", "text", "checks", "seconds", "versions", "plain")
        for value in (..., None, -5, "x", [], ["x"], [[]], [{}], {"x": 1})
        if (key, value) not in VALID
    ],
)
def test_header_entries_of_another_kind(data, key, value):
    broken(with_header(data, lambda h: put(h, key, value)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_tokens", 3),
        ("n_tokens", "30"),
        ("n_tokens", -1),
        ("n_tokens", 10**18),
        ("n_layers", 7),
        ("n_layers", None),
        ("vocab_size", "x"),
        ("model", 5),
        ("model", None),
        ("lens_layers", [0]),
        ("lens_layers", "02"),
        ("lens_layers", [[]]),
        ("window", "x"),
        ("top_k", 99),
        ("surprise", 1),
    ],
)
def test_a_spec_that_does_not_fit(data, field, value):
    broken(with_header(data, lambda h: h["spec"].__setitem__(field, value)))


@pytest.mark.parametrize("field", ["tokens.names", "tokens.text", "tokens.cell_text", "next.entropy"])
@pytest.mark.parametrize("value", [..., None, 5, [], ["x"], {}, {"1": 2}, {"x": "y"}, "x"])
def test_plain_values_that_do_not_fit(data, field, value):
    broken(with_header(data, lambda h: put(h["plain"], field, value)))


def test_names_that_are_missing(data, run):
    gone = str(int(run.tokens.top_ids[3, 0]))
    broken(with_header(data, lambda h: h["plain"]["tokens.names"].pop(gone)))


def test_extra_plain_values(data):
    broken(with_header(data, lambda h: h["plain"].update({"tokens.more": 1})))
    broken(with_header(data, lambda h: h["plain"].update({"tokens.entropy": [1, 2]})))


def test_spec_and_text_must_agree(data):
    """The text is not the one that was measured."""
    broken(with_header(data, lambda h: h.update(text=h["text"] + "x")))


def resaved(data, change):
    """A valid safetensors file whose arrays were tampered with."""
    from safetensors.numpy import load, save

    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])["__metadata__"]
    arrays = load(data)
    change(arrays)
    return save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, metadata=header)


def with_last(data, name, value):
    """The file with another last entry of an array."""

    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name].flat[-1] = value

    return resaved(data, change)


ARRAYS = (
    *("token_id", "start", "end", "n_bytes", "is_special", "cell", "context"),
    *(quantity.name for quantity in stored_quantities()),
    *("top_ids", "top_logprobs"),
)
ALL_ARRAYS = (
    *(f"tokens.{name}" for name in ARRAYS),
    *("layers.residual_norm", "layers.lens_layers", "layers.lens_entropy", "layers.lens_kl"),
    *("layers.lens_top_ids", "layers.lens_rank", "next.top_ids", "next.top_logprobs", "final_states"),
)


SINCE_2 = ("layer_numbers", "chunk")
"""Arrays that a file of the first format does not have."""
ATTENTION = (
    *("entropy", "received", "sink_mass", "sink_baseline", "distance", "value_norm", "key_norm", "window"),
    "learned_sink",
)


SPECTRA = ("spectrum", "query_spectrum", "key_spectrum", "value_spectrum", "curvature")


def test_the_list_of_arrays_is_whole(data, attended_data):
    from safetensors.numpy import load

    assert set(load(data)) == set(ALL_ARRAYS)
    without_lens = {name for name in ALL_ARRAYS if "lens" not in name}
    attended = {f"attention.{name}" for name in (*ATTENTION, *SINCE_2)} | {
        f"layers.{name}" for name in SPECTRA
    }
    assert set(load(attended_data)) == without_lens | attended


CHANGES = pytest.mark.parametrize(
    "change",
    [
        lambda a: a[:-1],
        lambda a: a[None],
        lambda a: a.ravel()[:1].reshape(()),
        lambda a: a[:0],
        lambda a: np.concatenate([a, a]),
        lambda a: a.astype(np.float64 if a.dtype.kind != "f" else np.int64),
        lambda a: np.zeros(a.shape, np.uint8),
    ],
    ids=["short", "deep", "scalar", "empty", "double", "other kind", "bytes"],
)


@pytest.mark.parametrize("name", ALL_ARRAYS)
@CHANGES
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_arrays_that_do_not_fit(data, name, change):
    broken(resaved(data, lambda arrays: arrays.__setitem__(name, change(arrays[name]))))


@pytest.mark.parametrize(
    "name", [f"attention.{name}" for name in ATTENTION] + [f"layers.{n}" for n in SPECTRA]
)
@CHANGES
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_arrays_of_attention_and_spectra_that_do_not_fit(attended_data, name, change):
    broken(resaved(attended_data, lambda arrays: arrays.__setitem__(name, change(arrays[name]))))


@pytest.mark.parametrize("name", ATTENTION)
def test_arrays_of_attention_that_are_missing(attended_data, name):
    """Only the learned sink may be: most models have none."""
    without = resaved(attended_data, lambda arrays: arrays.pop(f"attention.{name}"))
    if name == "learned_sink":
        assert files.trace_from_bytes(without).attention.learned_sink is None
    else:
        broken(without)


def test_all_of_attention_may_be_missing(attended_data):
    def change(arrays):
        for name in (*ATTENTION, *SINCE_2):
            del arrays[f"attention.{name}"]

    assert files.trace_from_bytes(resaved(attended_data, change)).attention is None


def test_heads_that_do_not_divide(attended_data):
    """Four query heads cannot share three KV heads, nor none."""

    def heads(count):
        def change(arrays):
            for name in ("attention.value_norm", "attention.key_norm"):
                arrays[name] = np.repeat(arrays[name][:, :1], count, 1)

        return change

    files.trace_from_bytes(resaved(attended_data, heads(4)))
    for count in (3, 0):
        broken(resaved(attended_data, heads(count)))


@pytest.mark.parametrize("value", [-1, -(2**31)])
def test_windows_that_are_negative(attended_data, value):
    def change(arrays):
        arrays["attention.window"] = np.full_like(arrays["attention.window"], value)

    broken(resaved(attended_data, change))


@pytest.mark.parametrize(
    "name", ["entropy", "received", "sink_mass", "sink_baseline", "distance", "learned_sink"]
)
@pytest.mark.parametrize("value", [np.inf, -np.inf, -0.5, 1e9])
def test_attention_that_cannot_be(attended_data, name, value):
    """Shares outside 0 to 1, entropies beyond any text, distances beyond the text."""
    broken(with_last(attended_data, f"attention.{name}", value))


@pytest.mark.parametrize("value", [..., None, 5, "x", [], {"attention": 5}, {"attention": None}])
def test_reasons_of_another_kind(attended_data, value):
    broken(with_header(attended_data, lambda h: put(h, "unavailable", value)))


@pytest.mark.parametrize("name", ALL_ARRAYS)
def test_arrays_that_are_missing(data, name):
    without = resaved(data, lambda arrays: arrays.pop(name))
    if name == "final_states":
        assert files.trace_from_bytes(without).final_states is None
    elif name == "layers.lens_rank":  # not in files of earlier formats
        assert files.trace_from_bytes(without).layers.lens_rank is None
    else:
        broken(without)


def test_arrays_nobody_asked_for(data):
    broken(resaved(data, lambda arrays: arrays.update({"tokens.more": np.zeros(3, np.float32)})))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tokens.start", 10_000),
        ("tokens.end", 10_000),
        ("tokens.start", -7),
        ("tokens.cell", -1),
        ("tokens.cell", 10_000_000),
        ("tokens.rank", -1),
        ("tokens.n_bytes", -1),
        ("tokens.top_ids", 1 << 60),
        ("tokens.top_ids", -5),
        ("tokens.token_id", 1 << 60),
        ("tokens.token_id", -1),
        ("layers.lens_layers", 1),
        ("layers.lens_layers", 99),
        ("next.top_ids", -1),
        ("next.top_ids", 1 << 60),
    ],
)
def test_values_that_would_point_outside(data, name, value):
    broken(with_last(data, name, value))


# Files of earlier versions ------------------------------------------------------------------------------

FIRST = Path(__file__).parents[1] / "golden" / "schema_1.trace"
"""Written by the version before layers without attention were known."""


def test_a_file_of_the_first_format_opens(load_tiny, tmp_path):
    """New fields have their meaning for old runs: every layer has attention, none has chunks or a gate."""
    old = an.load_trace(FIRST)
    assert old.attention.layer_numbers.tolist() == [0, 1, 2, 3]
    assert old.attention.chunk.tolist() == [0, 0, 0, 0] and old.attention.gate is None
    assert set(old.attention.window.tolist()) == {0, 32}
    new = an.trace(load_tiny("gpt_oss"), old.text, lens=[0, 2], top_k=3)
    np.testing.assert_allclose(old.tokens.surprisal, new.tokens.surprisal, atol=32 * 2**-23 * 20)
    np.testing.assert_allclose(old.attention.entropy, new.attention.entropy, atol=1e-4)
    np.testing.assert_allclose(old.layers.lens_entropy, new.layers.lens_entropy, atol=1e-4)
    again = an.load_trace(old.save(tmp_path / "again.trace"))
    np.testing.assert_array_equal(again.attention.received, old.attention.received)
    assert (
        old.layers.lens_rank is None and again.layers.lens_rank is None and new.layers.lens_rank is not None
    )
