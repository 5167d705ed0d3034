"""Where writing begins: a prompt that is read, or a place in what was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.errors import AnalysisError, InvalidTextError, TooLongError
from analysis.forward.vocabulary_head import about_tokens, read_rows
from analysis.kv_cache.stream import Stream, cache_kind
from analysis.models.loading import LanguageModel
from analysis.models.token_names import token_pieces
from analysis.models.tokenization import check_text
from analysis.progress import Progress, silent
from analysis.results.token_quantities import stored_quantities
from analysis.writing.caches import caches, stream_of
from analysis.writing.engine import TOP_K
from analysis.writing.results import Prompt, TokenNames, Writing
from analysis.writing.tokens import trace_of_ids, with_names

_BEFORE = ("\n", ".")
"""Texts that a tokenizer does not join with what follows, one or the other."""
_NOTES = {
    "shared": (),
    "copied": (
        "This model keeps states that cannot be cut back: a branch from the middle of a text reads it again.",
    ),
    "none": ("This model's state cannot be taken along: every token reads the whole text again.",),
}
"""What a person should know, by the kind of cache."""


def begin(model: LanguageModel, prompt: Prompt, report: Progress) -> tuple[Writing, Stream, Tensor]:
    """Read a prompt: a writing without branches, what read it, and what the head got after it."""
    if not prompt.ids:
        raise InvalidTextError("The prompt is empty.", "Type a few words.")
    n, limit = len(prompt.ids), model.info.context_length
    if limit is not None and n >= limit:
        raise TooLongError(
            f"The prompt has {n:,} tokens and {model.info.name} reads at most {limit:,}: there is no room to write.",
            "Shorten the prompt.",
        )

    def on_layer(layer: int) -> None:
        report(layer / model.info.n_layers, "reading the prompt")

    ids = torch.tensor(prompt.ids, dtype=torch.int64)
    with model.held("while reading the prompt"):
        kind = cache_kind(model)
        stream = Stream(model, kind)
        states = stream.read(ids[None], on_layer)[0]
        if kind.name == "copied":
            caches(model).keep(stream.rows([0]))
        read = read_rows(model.anatomy.head, states, ids[1:], TOP_K, lambda _n: None)
        names = with_names(TokenNames(), model.tokenizer, prompt.ids, np.unique(read.top_ids))
    tokens = trace_of_ids(
        prompt.ids,
        names,
        {q.name: about_tokens(getattr(read, q.name), q.missing) for q in stored_quantities()},
        about_tokens(read.top_ids.T, -1).T.copy(),
        about_tokens(read.top_logprobs.T, np.nan).T.copy(),
    )
    info = model.info
    notes = (*info.notes, *_NOTES[kind.name])
    return (
        Writing(info.name, info.revision, info.dtype, prompt, tokens, (), names, notes),
        stream,
        states[-1:],
    )


def resume(
    model: LanguageModel, w: Writing, of: Sequence[int], at: int, report: Progress = silent
) -> tuple[Stream, Tensor]:
    """What has read branches up to a position, a row each, and what the head got there, (B, D)."""

    def on_layer(layer: int) -> None:
        report(layer / model.info.n_layers, "reading the text again")

    begin, end = len(w.prompt.ids), min(len(w.path(one)) for one in of)
    if not begin <= at <= end:
        raise AnalysisError(
            f"Position {at} is not in what was written, which goes from {begin} to {end}.",
            "Choose a written token; to change the prompt, write again.",
        )
    paths = np.stack([w.path(one)[:at] for one in of])
    stored = [state for one in of if (state := _stored_state(w, one, at)) is not None]
    with model.held("while reading the text again"):
        stream, states = stream_of(model, paths, on_layer)
        if len(stored) == len(of):
            states = torch.from_numpy(np.stack(stored)).to(model.anatomy.head.weight.device)
        elif states is None:
            stream = Stream(model, cache_kind(model), len(paths))
            states = stream.read(torch.from_numpy(paths))[:, -1]
    return stream, states


def _stored_state(w: Writing, branch: int, at: int) -> np.ndarray | None:
    """What the head got before a position of a path, (D,), where it was kept."""
    return next(
        (b.numbers.final_states[at - b.at] for b, n in w.lineage(branch) if b.at <= at < b.at + n),
        w.branches[branch].after_state,
    )


def existing(model: LanguageModel, w: Writing, of: int | None) -> int:
    """The number of a branch, if this model wrote it."""
    if (w.model, w.revision) != (model.info.name, model.info.revision):
        raise AnalysisError(f"This was written by {w.model}.", "Load that model, or write anew.")
    return w.require(of)


def token_ids(model: LanguageModel, token: str | int | None) -> tuple[int, ...]:
    """Ids of a token that a person chose."""
    if token is None:
        return ()
    if not isinstance(token, str):
        if not 0 <= int(token) < model.info.vocab_size:
            raise AnalysisError(f"There is no token {token}.", f"Ids go up to {model.info.vocab_size - 1:,}.")
        return (int(token),)
    if not token:
        raise InvalidTextError("There is no text to go on with.", "Type a word, or choose a token.")
    with model.lock:
        ids = _spelling(model.tokenizer, token)
    if any(i >= model.info.vocab_size for i in ids):
        raise InvalidTextError("The model has no row for a token of this text.", "Type another word.")
    if not ids:
        raise InvalidTextError("The tokenizer leaves nothing of this text.", "Type another word.")
    return tuple(ids)


def _spelling(tokenizer: Any, text: str) -> list[int]:
    """Ids that spell a text in the middle of another; some tokenizers put a space in front of what they are given."""
    check_text(f".{text}")
    plain: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    for before in ("", *_BEFORE):
        first = tokenizer(before, add_special_tokens=False)["input_ids"] if before else []
        ids = tokenizer(before + text, add_special_tokens=False)["input_ids"]
        pieces = token_pieces(tokenizer, ids)
        rest = [int(i) for i in ids[len(first) :]]
        if ids[: len(first)] == first and b"".join(pieces[i] for i in rest) == text.encode():
            return rest
    return [int(i) for i in plain]
