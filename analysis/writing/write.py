"""Let a model write: a text, branches of it, and what would have come of other tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.errors import AnalysisError
from analysis.forward.trace import trace_ids
from analysis.forward.vocabulary_head import rows_per_block
from analysis.models.loading import LanguageModel
from analysis.progress import Progress, part, silent
from analysis.results.trace import Trace
from analysis.writing.beginning import begin, existing, resume, token_ids
from analysis.writing.engine import Line
from analysis.writing.growing import OnToken, fork, grow, new_branch
from analysis.writing.prompt import prompt_of
from analysis.writing.results import Message, Prompt, Samplers, Writing
from analysis.writing.sampling import parse_samplers

PROMPT_SHARE = 0.1
"""Of the progress of writing."""


def write(
    model: LanguageModel,
    prompt: str | Sequence[Message | Mapping[str, str]] | Prompt,
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
    chosen = parse_samplers(samplers, seed)
    before, during = _shares(on_progress)
    w, stream, states = begin(model, prompt_of(model, prompt), before)
    line = Line(new_branch(model, 0, None, len(stream), chosen))
    return grow(model, w, stream, states, [line], n_new, chosen, stop, on_token, during)


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
    stop: Sequence[str] | None = None,
    on_token: OnToken | None = None,
    on_progress: Progress | None = None,
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
    samplers, seed, stop : optional
        As for :func:`write`; those of the branch that is left by default.
    sample : int, default 0
        Another number draws with other noise.
    on_token, on_progress
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
    of = existing(model, w, of)
    chosen = _changed_samplers(w.branches[of].samplers, samplers, seed)
    forced = token_ids(model, token)
    before, during = _shares(on_progress)
    stream, states = resume(model, w, [of], at, before)
    stop = w.branches[of].stop if stop is None else stop
    line = fork(model, w, len(w.branches), of, at, chosen, sample, forced)
    return grow(model, w, stream, states, [line], n_new, chosen, stop, on_token, during)


def what_if(
    model: LanguageModel,
    w: Writing,
    *,
    at: int,
    k: int = 4,
    of: int | None = None,
    n_new: int = 16,
    on_token: OnToken | None = None,
    on_progress: Progress | None = None,
) -> Writing:
    """Go on from one place with each of the most probable tokens that did not come, all together.

    Parameters
    ----------
    model, w, at, of, on_token, on_progress
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
    of = existing(model, w, of)
    here, path = w.branches[of], w.path(of)
    before, during = _shares(on_progress)
    stream, states = resume(model, w, [of], at, before)
    came = int(path[at]) if at < len(path) else -1
    said = next((b.numbers.top_ids[at - b.at] for b, n in w.lineage(of) if b.at <= at < b.at + n), None)
    top = here.after.top_ids if said is None else said
    others = [int(i) for i in top if i != came]
    if not 1 <= k <= len(others):
        raise AnalysisError(f"Only 1 to {len(others)} alternatives are known here.", "Choose fewer.")
    lines = [
        fork(model, w, len(w.branches) + i, of, at, here.samplers, 0, (token,))
        for i, token in enumerate(others[:k])
    ]
    with model.held("while writing"):
        stream, states = stream.rows([0] * k), states.expand(k, -1)
    return grow(model, w, stream, states, lines, n_new, here.samplers, here.stop, on_token, during)


def go_on(
    model: LanguageModel,
    w: Writing,
    *,
    of: int | Sequence[int] | None = None,
    n_new: int = 64,
    stop: Sequence[str] | None = None,
    on_token: OnToken | None = None,
    on_progress: Progress | None = None,
) -> Writing:
    """Write more of a branch, past its stop token if it has one; or of several, side by side where they are alike.

    Parameters
    ----------
    model, w, on_token, on_progress
        As for :func:`branch`.
    of : int or sequence of int, optional
        Branches that grow; the newest by default.
    n_new : int, default 64
        Tokens written of each at most.
    stop : sequence of str, optional
        Texts that end them; each branch's own by default.

    Returns
    -------
    Writing
        With the same branches, these longer.
    """
    chosen = [existing(model, w, one) for one in (of if isinstance(of, Sequence) else [of])]
    groups = _alike(w, chosen, rows_per_block(model.anatomy.head))
    for number, group in enumerate(groups):
        lines = [Line(w.branches[one]) for one in group]
        here = lines[0].branch
        before, during = _shares(part(on_progress or silent, number, len(groups)))
        stream, states = resume(model, w, group, len(w.path(group[0])), before)
        texts = here.stop if stop is None else stop
        w = grow(model, w, stream, states, lines, n_new, here.samplers, texts, on_token, during)
        if any(line.ended == "stopped" for line in lines):
            break
    return w


def _alike(w: Writing, branches: Sequence[int], at_once: int) -> list[list[int]]:
    """Branches that can be written side by side: as long as each other, drawn and ended in the same way."""
    found: dict[tuple[object, ...], list[int]] = {}
    for one in branches:
        this = w.branches[one]
        found.setdefault((len(w.path(one)), this.samplers, this.stop), []).append(one)
    return [group[i : i + at_once] for group in found.values() for i in range(0, len(group), at_once)]


def _shares(on_progress: Progress | None) -> tuple[Progress, Progress]:
    """Progress of reading what comes before, and of writing."""
    report = on_progress or silent
    return part(report, 0, 1, of=PROMPT_SHARE), part(report, PROMPT_SHARE, 1, of=1 - PROMPT_SHARE)


def _changed_samplers(
    before: Samplers, samplers: Samplers | Sequence[tuple[str, float]] | None, seed: int | None
) -> Samplers:
    chosen = before if samplers is None else parse_samplers(samplers, before.seed)
    return chosen if seed is None else parse_samplers(chosen.steps, seed)


def trace_written(model: LanguageModel, w: Writing, branch: int | None = None, **options: Any) -> Trace:
    """Measure a branch as a text of its own, with attention and layers; its tokens are read as they are.

    Parameters
    ----------
    model : LanguageModel
        The one that wrote it, or another with the same tokenizer.
    w : Writing
        What was written.
    branch : int, optional
        The newest by default.
    **options
        As for :func:`analysis.trace_ids`.

    Returns
    -------
    Trace
    """
    return trace_ids(model, w.path(branch), **options)
