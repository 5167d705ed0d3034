"""The measured run: text, or tokens, and model in, :class:`Trace` out."""

from __future__ import annotations

import hashlib
import importlib.metadata
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from analysis.errors import InvalidTextError
from analysis.forward.layer_spectra import KINDS, LARGEST_SIDE, Kind, Spectra
from analysis.forward.plan import plan_run, require_fit
from analysis.forward.run import Run
from analysis.forward.visibility import Visibility
from analysis.forward.windows import plan_windows
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import Bos, TokenizedText, encode, tokens_of_ids
from analysis.out_of_memory import when_memory_runs_out
from analysis.progress import Progress, silent
from analysis.results.trace import Trace, TraceSpec

_PACKAGES = ("torch", "transformers", "tokenizers", "numpy")


def trace(
    model: LanguageModel,
    text: str,
    *,
    top_k: int = 10,
    lens: bool | Sequence[int] = False,
    bos: Bos = "auto",
    parse_special: bool = True,
    stride: int | None = None,
    window: int | None = None,
    attention: bool = True,
    spectra: bool | Sequence[Kind] = True,
    visibility: Visibility | None = None,
    on_progress: Progress | None = None,
) -> Trace:
    """Read one text with one model and measure every token.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`.
    text : str
        Any valid Unicode text. Its line ends are read as they are: ``open(path, newline="")`` keeps those of a
        file.
    top_k : int, default 10
        Alternatives kept per token.
    lens : bool or list of int, default False
        Logit lens at all layers, or at these (0 to L; the last is always added).
    bos : {"auto", "always", "never"}
        Beginning-of-text token: as the tokenizer does, always, never.
    parse_special : bool, default True
        Whether ``<|im_end|>`` and the like in the text are read as special tokens.
    stride : int, optional
        Read a text longer than the window in overlapping windows this far apart.
        Without it a text longer than the model's context is refused.
    window : int, optional
        Tokens per window, the model's context by default.
    attention : bool, default True
        Measure the attention of every head as well.
    spectra : bool or list of str, default True
        Spectra of every layer's token states, unless they would take longer than the pass itself. A
        list of "states", "query", "key" and "value" takes these, whatever they cost.
    visibility : Visibility, optional
        Hide keys from later queries, limit the window, or silence heads; tokens keep
        their positions.
    on_progress : callable, optional
        ``on_progress(share, what)``, at least once per layer.

    Returns
    -------
    Trace

    Raises
    ------
    InvalidTextError, TooLongError, OutOfMemoryError
        Each says what to do.
    ValueError
        If ``top_k`` is below 1, or a lens layer or a kind of spectra does not exist.
    """
    # The lock covers the tokenizer too: asking it to split special tokens is a setting it keeps. And
    # neither the free memory nor the time of this run may depend on somebody else's.
    with model.lock, torch.inference_mode():
        tokens = encode(model.tokenizer, text, bos=bos, parse_special=parse_special)
        return _measure(
            model,
            text,
            tokens,
            _Wishes(top_k, lens, stride, window, attention, spectra, visibility, on_progress or silent),
            bos=bos,
            parse_special=parse_special,
        )


def trace_ids(
    model: LanguageModel,
    ids: Sequence[int] | np.ndarray,
    *,
    top_k: int = 10,
    lens: bool | Sequence[int] = False,
    stride: int | None = None,
    window: int | None = None,
    attention: bool = True,
    spectra: bool | Sequence[Kind] = True,
    visibility: Visibility | None = None,
    on_progress: Progress | None = None,
) -> Trace:
    """Read tokens as they are, such as those that a model wrote; their text is never split again.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`.
    ids : sequence of int
        At least two; nothing is put in front of them.
    top_k, lens, stride, window, attention, spectra, visibility, on_progress
        As for :func:`analysis.trace`.

    Returns
    -------
    Trace
        Its text is what the ids spell, special tokens by their names and bytes that are no character as U+FFFD;
        ``spec.ids_sha256`` says that ids were given, and which.

    Raises
    ------
    InvalidTextError, TooLongError, OutOfMemoryError, ValueError
        As for :func:`analysis.trace`; the first also for an id that the model does not have.

    Notes
    -----
    Splitting the text of written tokens again gives other tokens now and then, and so other numbers.
    """
    with model.lock, torch.inference_mode():
        text, tokens = tokens_of_ids(model.tokenizer, ids)
        return _measure(
            model,
            text,
            tokens,
            _Wishes(top_k, lens, stride, window, attention, spectra, visibility, on_progress or silent),
            ids_sha256=hashlib.sha256(tokens.token_id.astype("<i8").tobytes()).hexdigest(),
        )


@dataclass(frozen=True)
class _Wishes:
    """What is to be measured, and how."""

    top_k: int
    lens: bool | Sequence[int]
    stride: int | None
    window: int | None
    attention: bool
    spectra: bool | Sequence[Kind]
    visibility: Visibility | None
    report: Progress


def _measure(
    model: LanguageModel, text: str, tokens: TokenizedText, wishes: _Wishes, **of_text: Any
) -> Trace:
    """Read tokens; the model is held."""
    top_k, stride, attention, report = wishes.top_k, wishes.stride, wishes.attention, wishes.report
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    layers = _lens_layers(wishes.lens, model.info.n_layers)
    kinds = _spectra_kinds(wishes.spectra)
    if len(tokens) < 2:
        raise InvalidTextError(
            "The text is a single token, so there is nothing to predict.",
            "Type a few more words, or set the beginning-of-text token to always.",
        )
    windows = plan_windows(model, tokens, wishes.window, stride)
    span = max(len(w.positions) for w in windows)
    plan = plan_run(
        model,
        len(tokens),
        n_lens=len(layers),
        window=span,
        stride=stride,
        attention=attention,
        n_spectra=len(kinds),
    )
    require_fit(
        model,
        plan,
        n_lens=len(layers),
        window=span if len(windows) > 1 else None,
        attention=attention,
    )
    started = time.perf_counter()
    with when_memory_runs_out(model.full(f"at {len(tokens):,} tokens", "read it in windows")):
        run = Run(model, tokens, windows, layers, top_k, plan, report, attention, wishes.visibility)
        _take_spectra(run, kinds, forced=wishes.spectra is not True)
        run.measure()
    run.seconds["total"] = time.perf_counter() - started
    model.speed.learn(plan.work, run.needed())
    missing = [kind for kind in kinds if run.spectra is not None and kind not in run.spectra.shares]
    if missing:
        run.unavailable["spectra"] = (
            f"Those of {', '.join(missing)} need attention. {run.unavailable.get('attention', '')}".strip()
        )
    token_trace = run.token_trace()
    spec = TraceSpec(
        model=model.info.name,
        source=model.spec.source,
        revision=model.info.revision,
        dtype=model.info.dtype,
        device=model.info.device_name,
        text_sha256=hashlib.sha256(text.encode()).hexdigest(),
        n_tokens=len(tokens),
        vocab_size=model.info.vocab_size,
        n_layers=model.info.n_layers,
        hidden_size=model.info.hidden_size,
        **of_text,
        top_k=run.top_ids.shape[1],
        lens_layers=tuple(layers),
        window=span if len(windows) > 1 else None,
        stride=stride if len(windows) > 1 else None,
        spectra=tuple(run.spectra.shares) if run.spectra else (),
        visibility=wishes.visibility.describe() if wishes.visibility else "",
        weights=model.info.weights,
        adapter=model.spec.adapter or "",
    )
    report(1.0, "done")
    return Trace(
        spec=spec,
        text=text,
        tokens=token_trace,
        next=run.next_token,
        layers=run.layer_trace(),
        attention=run.attention_trace,
        unavailable=run.unavailable,
        checks=tuple(run.checks),
        final_states=run.final_states,
        seconds=run.seconds,
        versions={name: importlib.metadata.version(name) for name in _PACKAGES},
        notes=(*model.info.notes, *([tokens.note] if tokens.note else [])),
    )


def _spectra_kinds(spectra: bool | Sequence[Kind]) -> tuple[Kind, ...]:
    if isinstance(spectra, bool):
        return ("states",) if spectra else ()
    wrong = [kind for kind in spectra if kind not in KINDS]
    if wrong:
        raise ValueError(f"spectra are taken of {', '.join(KINDS)}; got {wrong}")
    return tuple(kind for kind in KINDS if kind in spectra)


def _take_spectra(run: Run, kinds: tuple[Kind, ...], *, forced: bool) -> None:
    """Let the run take spectra, or say why it does not."""
    side = min(len(run.tokens), run.model.info.hidden_size)
    if not kinds:
        run.unavailable["spectra"] = "The run was made without them."
    elif len(run.windows) > 1:
        run.unavailable["spectra"] = "The text was read in windows; spectra are taken over one whole text."
    elif not forced and side > LARGEST_SIDE:
        run.unavailable["spectra"] = (
            f"At {len(run.tokens):,} tokens and width {run.model.info.hidden_size:,} they could take "
            'longer than the run itself; trace(..., spectra=["states"]) takes them all the same.'
        )
    else:
        run.spectra = Spectra(kinds, run.model.info.n_layers)


def _lens_layers(lens: bool | Sequence[int], n_layers: int) -> list[int]:
    if lens is False:
        return []
    chosen = range(n_layers + 1) if lens is True else lens
    wrong = [layer for layer in chosen if not 0 <= layer <= n_layers]
    if wrong:
        raise ValueError(f"lens layers go from 0 to {n_layers}, got {wrong}")
    return sorted({*chosen, n_layers})
