"""Let a model write: a text, branches of it, and many samples of one prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from analysis.errors import AnalysisError, InvalidTextError, TooLongError
from analysis.forward.vocabulary_head import about_tokens, read_rows
from analysis.models.loading import LanguageModel
from analysis.models.token_names import token_pieces
from analysis.models.tokenization import encode
from analysis.progress import Progress, silent
from analysis.results.token_quantities import stored_quantities
from analysis.results.tokens import NextToken
from analysis.writing.caches import caches, stream_of
from analysis.writing.engine import TOP_K, Line, no_numbers, write_on
from analysis.writing.results import Branch, Message, Prompt, Samplers, TokenNames, Writing
from analysis.writing.stopping import StopText
from analysis.writing.stream import Stream, cache_kind
from analysis.writing.tokens import trace_of_ids, with_names

OnToken = Callable[[Callable[[], Writing], int], None]
"""Called after every token with a function that gives the writing so far, to be called before it returns, and with
the number of tokens written. Raising :class:`analysis.errors.Cancelled` from it ends what is being written, and
nothing of it is lost."""
_PROMPT_SHARE = 0.1
_NOTHING = NextToken(np.nan, np.nan, np.nan, np.zeros(0, np.int64), np.zeros(0, np.float32))
_NOTES = {
    "shared": (),
    "copied": (
        "This model keeps states that cannot be cut back: a branch from the middle of a text reads it again.",
    ),
    "none": ("This model's state cannot be taken along: every token reads the whole text again.",),
}
"""What a person should know, by the kind of cache."""


def write(
    model: LanguageModel,
    prompt: str | Sequence[Message | dict[str, str]] | Prompt,
    *,
    n_new: int = 64,
    samplers: Samplers | Sequence[tuple[str, float]] = (),
    seed: int = 0,
    stop: Sequence[str] = (),
    on_token: OnToken | None = None,
    on_progress: Progress | None = None,
) -> Writing:
    """Let a model write on after a prompt.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`.
    prompt : str, messages, or Prompt
        A text, or turns of a chat such as ``{"role": "user", "content": "Hello"}``.
    n_new : int, default 64
        Tokens written at most.
    samplers : sequence of (name, setting), default ()
        Applied in this order; none takes the most probable token every time.
    seed : int, default 0
        Of the noise, which belongs to seed, sample and position.
    stop : sequence of str, default ()
        Texts that end it, besides the model's own stop tokens.
    on_token : callable, optional
        ``on_token(writing_so_far, n_written)``, after every token; see :data:`OnToken`.
    on_progress : callable, optional
        ``on_progress(share, what)``.

    Returns
    -------
    Writing
        With one branch.

    Raises
    ------
    AnalysisError
        If the prompt is empty or as long as the model's context, or a sampler does not exist.
    """
    chosen = _samplers(samplers, seed)
    w, stream, states = _begin(model, _prompt(model, prompt), on_progress or silent)
    line = Line(_new_branch(model, 0, None, len(stream), chosen))
    return _grow(model, w, stream, states, [line], n_new, chosen, stop, on_token, on_progress)


def branch(
    model: LanguageModel,
    w: Writing,
    *,
    at: int,
    token: str | int | None = None,
    of: int | None = None,
    n_new: int = 64,
    samplers: Samplers | Sequence[tuple[str, float]] | None = None,
    seed: int | None = None,
    sample: int = 0,
    stop: Sequence[str] = (),
    on_token: OnToken | None = None,
) -> Writing:
    """Go elsewhere from one place of what was written.

    Parameters
    ----------
    model : LanguageModel
        The one that wrote it.
    w : Writing
        Stays as it is.
    at : int
        Position in ``w.path(of)``, as in ``w.tokens(of)``, of the first token of the branch; the length of the
        path goes on after its end.
    token : str or int, optional
        What comes there: a text, which may be several tokens, or an id. None draws again.
    of : int, optional
        The branch that is left; the newest by default.
    n_new : int, default 64
        Tokens drawn at most; those of ``token`` come on top.
    samplers, seed : optional
        As for :func:`write`; those of the branch that is left by default.
    sample : int, default 0
        Another number draws with other noise.
    stop, on_token
        As for :func:`write`.

    Returns
    -------
    Writing
        With one branch more, the newest.

    Raises
    ------
    AnalysisError
        If the position is not in what was written, the token does not exist, or another model wrote it.
    """
    of = _existing(model, w, of)
    chosen = _changed_samplers(w.branches[of].samplers, samplers, seed)
    forced = _token_ids(model, token)
    stream, states = _resume(model, w, of, at)
    line = _fork(model, w, len(w.branches), of, at, chosen, sample, forced)
    return _grow(model, w, stream, states, [line], n_new, chosen, stop, on_token, None)


def what_if(
    model: LanguageModel,
    w: Writing,
    *,
    at: int,
    k: int = 4,
    of: int | None = None,
    n_new: int = 16,
    on_token: OnToken | None = None,
) -> Writing:
    """Go on from one place with each of the most probable tokens that did not come, all together.

    Parameters
    ----------
    model, w, at, of, on_token
        As for :func:`branch`.
    k : int, default 4
        Alternatives.
    n_new : int, default 16
        Tokens drawn after each.

    Returns
    -------
    Writing
        With k branches more, in the order of their probability, drawn as the branch that they leave.

    Raises
    ------
    AnalysisError
        As for :func:`branch`; and if there are not so many alternatives.
    """
    of = _existing(model, w, of)
    chosen, path = w.branches[of].samplers, w.path(of)
    stream, states = _resume(model, w, of, at)
    came = int(path[at]) if at < len(path) else -1
    said = next((b.numbers.top_ids[at - b.at] for b, n in w.lineage(of) if b.at <= at < b.at + n), None)
    top = w.branches[of].after.top_ids if said is None else said
    others = [int(i) for i in top if i != came]
    if not 1 <= k <= len(others):
        raise AnalysisError(f"Only 1 to {len(others)} alternatives are known here.", "Choose fewer.")
    lines = [
        _fork(model, w, len(w.branches) + i, of, at, chosen, 0, (token,))
        for i, token in enumerate(others[:k])
    ]
    with model.held("while writing"):
        stream, states = stream.rows([0] * k), states.expand(k, -1)
    return _grow(model, w, stream, states, lines, n_new, chosen, (), on_token, None)


def go_on(
    model: LanguageModel,
    w: Writing,
    *,
    of: int | None = None,
    n_new: int = 64,
    stop: Sequence[str] = (),
    on_token: OnToken | None = None,
) -> Writing:
    """Write more of a branch, past its stop token if it has one.

    Parameters
    ----------
    model, w, of, stop, on_token
        As for :func:`branch`.
    n_new : int, default 64
        Tokens written at most.

    Returns
    -------
    Writing
        With the same branches, this one longer.
    """
    of = _existing(model, w, of)
    here = w.branches[of]
    stream, states = _resume(model, w, of, len(w.path(of)))
    return _grow(model, w, stream, states, [Line(here)], n_new, here.samplers, stop, on_token, None)


# What all of them are made of -------------------------------------------------------------------------


def _prompt(model: LanguageModel, prompt: str | Sequence[Message | dict[str, str]] | Prompt) -> Prompt:
    if isinstance(prompt, Prompt):
        return prompt
    if not isinstance(prompt, str):
        raise AnalysisError("Chats are not read yet.", "Give a text.")
    ids = encode(model.tokenizer, prompt).token_id
    return Prompt(prompt, tuple(int(i) for i in ids), stop_ids=(model.tokenizer.eos_token_id,))


def _samplers(samplers: Samplers | Sequence[tuple[str, float]], seed: int) -> Samplers:
    return samplers if isinstance(samplers, Samplers) else Samplers(tuple(samplers), seed)


def _changed_samplers(
    before: Samplers, samplers: Samplers | Sequence[tuple[str, float]] | None, seed: int | None
) -> Samplers:
    chosen = before if samplers is None else _samplers(samplers, before.seed)
    return chosen if seed is None else _samplers(chosen.steps, seed)


def _begin(model: LanguageModel, prompt: Prompt, report: Progress) -> tuple[Writing, Stream, Tensor]:
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
        report(_PROMPT_SHARE * layer / model.info.n_layers, "reading the prompt")

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


def _resume(model: LanguageModel, w: Writing, of: int, at: int) -> tuple[Stream, Tensor]:
    """What has read a branch up to a position, and what the head got there, (1, D)."""
    path, begin = w.path(of), len(w.prompt.ids)
    if not begin <= at <= len(path):
        raise AnalysisError(
            f"Position {at} is not in what was written, which goes from {begin} to {len(path)}.",
            "Choose a written token; to change the prompt, write again.",
        )
    stored = next(
        (b.numbers.final_states[at - b.at] for b, n in w.lineage(of) if b.at <= at < b.at + n),
        w.branches[of].after_state,
    )
    with model.held("while reading the text again"):
        stream, state = stream_of(model, path[:at])
        if stored is not None:
            device = model.anatomy.head.weight.device
            state = torch.from_numpy(np.ascontiguousarray(stored))[None].to(device)
        elif state is None:
            stream = Stream(model, cache_kind(model))
            state = stream.read(torch.from_numpy(path[None, :at]))[:, -1]
    return stream, state


def _existing(model: LanguageModel, w: Writing, of: int | None) -> int:
    """The number of a branch, if this model wrote it."""
    if (w.model, w.revision) != (model.info.name, model.info.revision):
        raise AnalysisError(f"This was written by {w.model}.", "Load that model, or write anew.")
    of = w.newest if of is None else of
    if not 0 <= of < len(w.branches):
        raise AnalysisError(f"There is no branch {of}.", f"Choose one from 0 to {w.newest}.")
    return of


def _token_ids(model: LanguageModel, token: str | int | None) -> tuple[int, ...]:
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
        if token.strip():
            ids = [int(i) for i in encode(model.tokenizer, token, bos="never").token_id]
        else:
            ids = [int(i) for i in model.tokenizer(token, add_special_tokens=False)["input_ids"]]
        pieces = token_pieces(model.tokenizer, ids)
        whole = model.tokenizer.convert_tokens_to_ids(token)
        if b"".join(pieces[i] for i in ids) != token.encode() and whole not in (
            None,
            model.tokenizer.unk_token_id,
        ):
            ids = [int(whole)]  # where tokenizers put a space in front of every text
    if not ids:
        raise InvalidTextError("The tokenizer leaves nothing of this text.", "Type another word.")
    return tuple(ids)


def _new_branch(
    model: LanguageModel,
    number: int,
    parent: int | None,
    at: int,
    samplers: Samplers,
    sample: int = 0,
    forced: int = 0,
) -> Branch:
    numbers = no_numbers(model.anatomy.head, len(samplers.steps))
    return Branch(
        number, parent, at, np.zeros(0, np.int64), numbers, _NOTHING, "stopped", samplers, sample, forced
    )


def _fork(
    model: LanguageModel,
    w: Writing,
    number: int,
    of: int,
    at: int,
    samplers: Samplers,
    sample: int,
    forced: tuple[int, ...],
) -> Line:
    """A branch that begins at a position of another; its parent is the one that has the token before."""
    parent = next((b.id for b, _n in reversed(w.lineage(of)) if b.at < at), None)
    return Line(_new_branch(model, number, parent, at, samplers, sample, len(forced)), forced)


def _grow(
    model: LanguageModel,
    w: Writing,
    stream: Stream,
    states: Tensor,
    lines: list[Line],
    n_new: int,
    samplers: Samplers,
    stop: Sequence[str],
    on_token: OnToken | None,
    on_progress: Progress | None,
) -> Writing:
    """Write on, and put what came into the tree."""
    if n_new < 1:
        raise AnalysisError("No tokens are to be written.", "Ask for 1 or more.")
    report = on_progress or silent
    stop_text = StopText(model.tokenizer, stop)
    names = w.names

    def so_far() -> Writing:
        nonlocal names
        grown = [line.so_far() for line in lines]
        written = {int(i) for one in grown for i in one.ids}
        shown = {
            int(i)
            for one in grown
            for ids in (one.numbers.top_ids, one.after.top_ids)
            for i in np.unique(ids)
        }
        with model.lock:
            names = with_names(names, model.tokenizer, written, shown)
        branches = {one.id: one for one in (*w.branches, *grown)}
        return replace(w, branches=tuple(branches[i] for i in sorted(branches)), names=names)

    def on_step(n: int) -> None:
        if on_token is not None:
            on_token(so_far, n)
        report(_PROMPT_SHARE + (1 - _PROMPT_SHARE) * min(1.0, n / n_new), f"token {n} of {n_new}")

    write_on(model, stream, states, lines, n_new, samplers, w.prompt.stop_ids, stop_text, on_step)
    return so_far()
