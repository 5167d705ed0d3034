"""Opening a model's tokenizer, with what is missing said by its name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from analysis.errors import ModelNotFoundError
from analysis.models.load_errors import causes

_PIECES, _TEKKEN = "tokenizer.model", "tekken.json"
_PROBES = ("The cat sat on the mat.", "a  b", " 12 x\ny", "é, naïve")


def read_tokenizer(
    where: str, files: Collection[str], name: str, options: dict[str, Any]
) -> tuple[Any, list[str]]:
    """Tokenizer of a model, and what a person should know about it, a sentence each.

    Parameters
    ----------
    where : str
        Folder or hub id.
    files : collection of str
        Names of the files there, as far as they are known.
    name : str
        Of the model, for messages.
    options : dict
        Of ``from_pretrained``.

    Returns
    -------
    tuple of (PreTrainedTokenizerBase, list of str)
        Nothing is to be said about most.

    Raises
    ------
    ModelNotFoundError
        Naming the file or package that is missing.
    """
    lonely = not {"tokenizer.json", "vocab.json", "vocab.txt"} & set(files)
    if lonely and _TEKKEN in files and _PIECES not in files:
        raise ModelNotFoundError(
            f"{name} holds its tokenizer as {_TEKKEN} only, which is not read here.",
            "Put the tokenizer.json of the same model beside it.",
        )
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **options)
    except Exception as error:
        missing = _missing_package(error)
        if missing is None:
            raise
        if missing == "tiktoken" and _PIECES in files and not _reads_pieces():
            missing = "sentencepiece"  # tried first, and passed over in silence
        raise ModelNotFoundError(
            f"The tokenizer of {name} needs the package {missing}, which is not installed.",
            f"Install it with `pip install {missing}`, or put a tokenizer.json beside it.",
        ) from error
    notes = []
    if lonely and _PIECES in files and getattr(tokenizer, "is_fast", False):
        notes.append(_by_its_pieces(tokenizer, where, options))
        if "tokenizer_config.json" not in files:
            notes.append("The folder does not say whether a beginning-of-text token goes first; none does.")
    return tokenizer, [note for note in notes if note]


def _reads_pieces() -> bool:
    try:
        import sentencepiece  # noqa: F401
    except ImportError:
        return False
    return True


def _missing_package(error: BaseException) -> str | None:
    """Package whose absence an error of the library speaks of."""
    for cause in causes(error):
        text = str(cause).lower()
        if isinstance(cause, ImportError) or "is required to" in text:
            known = ("sentencepiece", "tiktoken", "mistral-common", "protobuf", "blobfile")
            found = next((package for package in known if package in text.replace("_", "-")), None)
            if found is not None:
                return found
            if isinstance(cause, ModuleNotFoundError) and cause.name:
                return cause.name.partition(".")[0]
    return None


def _by_its_pieces(tokenizer: Any, where: str, options: dict[str, Any]) -> str:
    """Let a tokenizer cut text as the SentencePiece file does that it was made from; says where it does not.

    Where nothing but that file is there, the library builds a general tokenizer, which leaves out the blank
    that SentencePiece puts in front of a text, and what it does to characters and blanks before cutting.
    """
    from transformers.utils import cached_file

    own = {name: value for name, value in options.items() if name in ("revision", "local_files_only")}
    try:
        from sentencepiece import SentencePieceProcessor

        pieces = SentencePieceProcessor(model_file=cached_file(where, _PIECES, **own))
    except ImportError:
        return f"{_PIECES} could not be held against sentencepiece, which is not installed."
    except (OSError, RuntimeError):
        return ""  # of another format, such as tiktoken's
    if _same_cuts(tokenizer, pieces):
        return ""
    backend = tokenizer.backend_tokenizer
    before = backend.normalizer, backend.pre_tokenizer
    backend.normalizer, backend.pre_tokenizer = _normalizer(pieces), None
    if _same_cuts(tokenizer, pieces):
        return ""
    backend.normalizer, backend.pre_tokenizer = before
    return (
        f"Text is cut otherwise than SentencePiece cuts it with {_PIECES}; a tokenizer.json would be exact."
    )


def _normalizer(pieces: Any) -> Any:
    """What a SentencePiece file does to a text before it cuts it."""
    from sentencepiece.sentencepiece_model_pb2 import ModelProto
    from tokenizers import Regex, normalizers

    rules = ModelProto.FromString(pieces.serialized_model_proto()).normalizer_spec
    steps: list[Any] = []
    if rules.precompiled_charsmap:
        steps.append(normalizers.Precompiled(rules.precompiled_charsmap))
    if rules.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if rules.add_dummy_prefix:
        steps.append(normalizers.Prepend("▁"))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])


def _same_cuts(tokenizer: Any, pieces: Any) -> bool:
    cut = [tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in _PROBES]
    return cut == [pieces.encode(text) for text in _PROBES]
