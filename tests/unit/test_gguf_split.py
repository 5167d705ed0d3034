"""Text of GGUF models is split by llama.cpp's rules, and a rule that is not known is said."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import analysis as an
from analysis.errors import UnsupportedModelError
from analysis.models.gguf_split import split_like_llama_cpp
from tests.tiny_models.gguf import save_tiny_gguf
from tests.tiny_models.tokenizer import byte_tokenizer

DIGITS_ALONE = ["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"]


def pieces(name: str | None, text: str) -> list[str]:
    tokenizer = byte_tokenizer()
    split_like_llama_cpp(tokenizer, name)
    found = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
    return [text[begin:end] for _, (begin, end) in found]


def with_runs_of_digits() -> PreTrainedTokenizerFast:
    """A vocabulary that would merge digits if its split let it."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("1", "2"), ("12", "3"), ("123", "4"), ("Ġ", "1"), ("t", "h"), ("th", "e")]
    vocabulary = {piece: i for i, piece in enumerate([*letters, *(a + b for a, b in merges), "odd"])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.mark.parametrize("name", DIGITS_ALONE)
def test_each_digit_alone(name):
    tokenizer = with_runs_of_digits()
    assert tokenizer.tokenize("the 1234") == ["the", "Ġ", "1234"]
    assert split_like_llama_cpp(tokenizer, name) == ""
    assert tokenizer.tokenize("the 1234") == ["the", "Ġ", "1", "2", "3", "4"]
    assert pieces(name, "I've 12½ x²") == ["I", "'ve", " ", "1", "2", "½", " x", "²"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("gpt-2", "the 1234 (a)\n\nb", ["the", " 1234", " (", "a", ")", "\n", "\n", "b"]),
        ("exaone4", "the 1234", ["the", " 1234"]),
        (
            "glm4",
            "the 12345 DON'T (a)\n\nb",
            ["the", " ", "123", "45", " DON", "'T", " (", "a", ")\n\n", "b"],
        ),
        ("chatglm-bpe", "12345", ["123", "45"]),
        ("stablelm2", "the 123 (a)\n\nb", ["the", " ", "1", "2", "3", " (", "a", ")\n\n", "b"]),
        ("hunyuan", "12", ["1", "2"]),
        ("grok-2", "12", ["1", "2"]),
        ("solar-open", "12", ["1", "2"]),
        ("falcon", "the 1234567 `a`", ["the", " ", "123", "456", "7", " ", "`", "a", "`"]),
        ("falcon", "don't", ["don", "'", "t"]),
        ("default", "a+b 1234", ["a", "+", "b", " ", "123", "4"]),
        (None, "a+b 1234", ["a", "+", "b", " ", "123", "4"]),
    ],
)
def test_rules_by_name(name, text, expected):
    assert pieces(name, text) == expected


@pytest.mark.parametrize(
    "name", ["deepseek-llm", "viking", "bloom", "kimi-k2", "afmoe", "no-such-rule", "x" * 999]
)
def test_a_name_that_is_not_known_is_said(name):
    note = split_like_llama_cpp(byte_tokenizer(), name)
    assert name[:40] in note and note.endswith("llama.cpp's.") and len(note) < 250


@pytest.mark.parametrize(
    "name", [*DIGITS_ALONE, "gpt-2", "mpt", "llama-bpe", "qwen2", "tekken", "gpt-4o", "glm4", "falcon"]
)
def test_a_name_that_is_known_needs_no_note(name):
    assert split_like_llama_cpp(byte_tokenizer(), name) == ""


@pytest.mark.parametrize(
    ("name", "whole"), [("llama-bpe", True), ("tekken", True), ("qwen2", False), ("gpt-2", False)]
)
def test_a_word_that_is_a_token_is_taken_whole_where_llama_cpp_does(name, whole):
    tokenizer = with_runs_of_digits()
    split_like_llama_cpp(tokenizer, name)
    assert (tokenizer.tokenize("odd") == ["odd"]) == whole


@pytest.mark.parametrize(("pre", "digits"), [("refact", 4), ("command-r", 4), ("starcoder", 4)])
def test_files_with_digits_alone(tmp_path, pre, digits):
    model = an.load_model(str(save_tiny_gguf(tmp_path / "x.gguf", pre=pre)))
    run = an.trace(model, "the 1234")
    assert [text for text in run.tokens.text if text.strip().isdigit()] == list("1234")
    assert not any("split" in note for note in run.notes)


@pytest.mark.parametrize(
    ("pre", "words"), [("viking", "'viking'"), (None, "does not say"), ("default", "does not say")]
)
def test_the_note_reaches_the_run_and_its_file(tmp_path, pre, words):
    model = an.load_model(str(save_tiny_gguf(tmp_path / "x.gguf", pre=pre)))
    assert any(words in note for note in model.info.notes)
    run = an.trace(model, "the 1234")
    assert run.notes == model.info.notes
    assert an.load_trace(run.save(tmp_path / "run.trace")).notes == run.notes


@pytest.mark.parametrize(
    ("kind", "words"), [("MOSTLY_Q4_K_M", "Q4_K_M weights, computed in float32"), ("MOSTLY_F16", "float32")]
)
def test_the_precision_line_names_the_blocks(tmp_path, monkeypatch, kind, words):
    import gguf

    add = gguf.GGUFWriter.add_file_type
    monkeypatch.setattr(
        gguf.GGUFWriter, "add_file_type", lambda self, _kind: add(self, gguf.LlamaFileType[kind])
    )
    model = an.load_model(str(save_tiny_gguf(tmp_path / "x.gguf")))
    assert model.info.precision == words


def test_a_classifier_in_a_gguf_file_is_refused(tmp_path, monkeypatch):
    import gguf
    import numpy as np

    add = gguf.GGUFWriter.write_header_to_file

    def with_a_classifier(writer):
        writer.add_tensor("cls.output.weight", np.ones((1, 64), np.float32))
        add(writer)

    monkeypatch.setattr(gguf.GGUFWriter, "write_header_to_file", with_a_classifier)
    path = save_tiny_gguf(tmp_path / "x.gguf")
    with pytest.raises(UnsupportedModelError, match="classifier"):
        an.load_model(str(path))
