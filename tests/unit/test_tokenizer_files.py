"""Tokenizers that are there in another form, or not at all."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path

import pytest

import analysis as an
from analysis.errors import AnalysisError, ModelNotFoundError
from tests.tiny_models.families import save_tiny

sentencepiece = pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")

LINES = ["The cat sat on the mat and looked at the rain.", "It was noon, and nobody came in 1234.", "naïve é"]
TEXTS = ["The cat sat.", " two  blanks\nand a line", "12 × é 今", "", "x" * 40]


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A SentencePiece file of a kind, trained on a few lines."""
    folder, made = tmp_path_factory.mktemp("pieces"), {}

    def train(kind: str = "bpe", rule: str = "identity", prefix: bool = True, squeeze: bool = False) -> Path:
        name = f"{kind}-{rule}-{prefix}-{squeeze}"
        if name not in made:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(LINES * 20),
                model_prefix=str(folder / name),
                model_type=kind,
                vocab_size=300,
                hard_vocab_limit=False,
                byte_fallback=True,
                normalization_rule_name=rule,
                add_dummy_prefix=prefix,
                remove_extra_whitespaces=squeeze,
                minloglevel=2,
            )
            made[name] = folder / f"{name}.model"
        return made[name]

    return train


def without_tokenizer(family: str, folder: Path) -> Path:
    save_tiny(family, folder)
    for file in folder.glob("*token*"):
        file.unlink()
    return folder


@pytest.mark.parametrize("family", ["llama", "mistral", "phi3"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kind": "unigram"},
        {"rule": "nmt_nfkc", "squeeze": True},
        {"kind": "unigram", "rule": "nmt_nfkc", "squeeze": True},
        {"prefix": False},
    ],
    ids=str,
)
def test_a_folder_with_pieces_alone_cuts_as_they_do(tmp_path, pieces, family, options):
    folder = without_tokenizer(family, tmp_path / "m")
    path = pieces(**options)
    (folder / "tokenizer.model").write_bytes(path.read_bytes())
    model = an.load_model(str(folder))
    right = sentencepiece.SentencePieceProcessor(model_file=str(path))
    for text in TEXTS[:3]:
        ours = model.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ours == right.encode(text), text
    assert not any("otherwise" in note for note in model.info.notes)
    run = an.trace(model, TEXTS[0])
    assert run.tokens.token_id.tolist() == right.encode(TEXTS[0])
    assert run.tokens.n_bytes.sum() == len(TEXTS[0])


def test_whether_a_bos_goes_first_is_said_where_nothing_says_it(tmp_path, pieces):
    folder = without_tokenizer("llama", tmp_path / "m")
    (folder / "tokenizer.model").write_bytes(pieces().read_bytes())
    assert any("beginning-of-text" in note for note in an.load_model(str(folder)).info.notes)
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "bos_token": "<s>",
        "eos_token": "</s>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    model = an.load_model(str(folder))
    assert not model.info.notes
    assert an.trace(model, "The cat").tokens.text[0] == "<s>"


def test_a_class_that_cuts_otherwise_is_said(tmp_path, pieces):
    """The config's class reads a unigram vocabulary as if it were one of merges."""
    folder = without_tokenizer("llama", tmp_path / "m")
    (folder / "tokenizer.model").write_bytes(pieces(kind="unigram").read_bytes())
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert any("otherwise than SentencePiece" in note for note in an.load_model(str(folder)).info.notes)


def refused(folder: Path) -> AnalysisError:
    with pytest.raises(ModelNotFoundError) as caught:
        an.load_model(str(folder))
    assert "\n" not in str(caught.value)
    return caught.value


def test_without_sentencepiece_it_is_named(tmp_path, pieces, monkeypatch):
    folder = without_tokenizer("llama", tmp_path / "m")
    (folder / "tokenizer.model").write_bytes(pieces().read_bytes())
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "sentencepiece":
            raise ModuleNotFoundError("No module named 'sentencepiece'", name="sentencepiece")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for module in [name for name in sys.modules if name.partition(".")[0] == "sentencepiece"]:
        monkeypatch.delitem(sys.modules, module)
    from transformers import convert_slow_tokenizer

    monkeypatch.setattr(convert_slow_tokenizer, "is_sentencepiece_available", lambda: False, raising=False)
    error = refused(folder)
    assert "sentencepiece" in str(error) and "pip install sentencepiece" in error.hint


@pytest.mark.parametrize("beside", [[], ["params.json"], ["tokenizer_config.json"]])
def test_tekken_alone_asks_for_tokenizer_json(tmp_path, beside):
    folder = without_tokenizer("mistral", tmp_path / "m")
    (folder / "tekken.json").write_text(json.dumps({"config": {"version": "v3"}, "vocab": []}))
    for name in beside:
        (folder / name).write_text("{}")
    error = refused(folder)
    assert "tekken.json" in error.message and "tokenizer.json" in error.hint


def test_tekken_beside_another_tokenizer_is_no_matter(tmp_path):
    folder = save_tiny("mistral", tmp_path / "m")
    (folder / "tekken.json").write_text("{}")
    assert an.load_model(str(folder)).info.family == "mistral"


@pytest.mark.parametrize("content", [b"", b"IQ== 0\nIg== 1\n", b"\x00\xff" * 50])
def test_a_tokenizer_model_of_another_format(tmp_path, content):
    """Such as tiktoken's, which bears the same name."""
    folder = without_tokenizer("llama", tmp_path / "m")
    (folder / "tokenizer.model").write_bytes(content)
    refused(folder)
