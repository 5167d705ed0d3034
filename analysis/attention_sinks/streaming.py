"""Perplexity along a long text: full attention, a window, and the first tokens with a window.

The comparison of StreamingLLM, with one difference: tokens keep their own positions, where
a streaming cache counts positions anew within itself. Windowed runs are masked whole runs,
so what a token knew when it was read is in its key and value, as in a cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.forward.trace import trace
from analysis.forward.visibility import Visibility
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import Bos, encode
from analysis.progress import Progress, part, silent

VIEWS = ("full attention", "window only", "sinks + window")
"""What a token may see in the streaming comparison."""


@dataclass(frozen=True, eq=False)
class StreamingResult:
    """Surprisal along one text under three ways of limiting attention."""

    model: str
    n_tokens: int
    window: int
    """Tokens a query sees under both limited policies, itself included."""
    n_sink: int
    """How many of them are the first of the text under "sinks + window"."""
    surprisal: dict[str, np.ndarray]
    """By policy: float32, (T,), nats; NaN at token 0."""

    def to_frame(self, smooth: int = 64) -> pd.DataFrame:
        """One row per policy and token from 1 on.

        Parameters
        ----------
        smooth : int, default 64
            Tokens of the running mean; fewer at the beginning.

        Returns
        -------
        pandas.DataFrame
            ``position``, ``policy``, ``surprisal``, ``running_mean`` (nats, over the last
            ``smooth`` tokens) and ``perplexity`` (of the text so far).
        """
        parts = []
        for policy, values in self.surprisal.items():
            column = pd.Series(values[1:].astype(float))
            parts.append(
                pd.DataFrame(
                    {
                        "position": np.arange(1, self.n_tokens),
                        "policy": policy,
                        "surprisal": column,
                        "running_mean": column.rolling(smooth, min_periods=1).mean(),
                        "perplexity": np.exp(column.expanding().mean()),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)

    def summary(self) -> pd.DataFrame:
        """One row per policy.

        Returns
        -------
        pandas.DataFrame
            ``policy``; ``visible``, most tokens a query sees; ``perplexity`` of the whole
            text; ``surprisal_after`` (mean, nats) and ``perplexity_after`` of the tokens
            predicted by queries that no longer see everything: ``window + 1`` and later.
        """
        rows = []
        for policy, values in self.surprisal.items():
            after = float(values[self.window + 1 :].mean(dtype=float))
            seen = self.n_tokens if policy == VIEWS[0] else self.window
            rows.append(
                (policy, seen, float(np.exp(values[1:].mean(dtype=float))), after, float(np.exp(after)))
            )
        columns = ["policy", "visible", "perplexity", "surprisal_after", "perplexity_after"]
        return pd.DataFrame(rows, columns=columns)


def equal_views(window: int, n_sink: int) -> dict[str, Visibility | None]:
    """Visibility of each policy, such that both limited ones see equally many tokens.

    Parameters
    ----------
    window : int
        Tokens a query sees, itself included.
    n_sink : int
        How many of them are the first of the text under "sinks + window".

    Returns
    -------
    dict of str to Visibility or None
        By policy. "sinks + window" sees the first ``n_sink`` and the last
        ``window - n_sink`` tokens.
    """
    limited = Visibility(window=window), Visibility(window=window - n_sink, n_sink=n_sink)
    return dict(zip(VIEWS, (None, *limited), strict=True))


def streaming_curves(
    model: LanguageModel,
    text: str,
    *,
    window: int = 256,
    n_sink: int = 4,
    bos: Bos = "auto",
    parse_special: bool = True,
    on_progress: Progress | None = None,
) -> StreamingResult:
    """Read a long text three times: seeing everything, a window, and sinks with a window.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`.
    text : str
        More than ``window + 1`` tokens, within the model's context.
    window : int, default 256
        Tokens a query sees under both limited policies, itself included.
    n_sink : int, default 4
        How many of them are the first of the text under "sinks + window".
    bos : {"auto", "always", "never"}
        Beginning-of-text token.
    parse_special : bool, default True
        Whether special tokens written in the text are read as such.
    on_progress : callable, optional
        ``on_progress(share, what)``. Raising from it stops the run.

    Returns
    -------
    StreamingResult

    Raises
    ------
    AnalysisError
        If the text is too short for the window to hide anything, the sinks do not fit into
        the window, or the model's attention cannot be limited.

    Notes
    -----
    A layer with a sliding window of its own never sees the first tokens beyond it, whatever
    is asked for here.

    References
    ----------
    Xiao et al. 2023, arXiv:2309.17453 (StreamingLLM): 4 sinks; positions counted within the
    cache, which is not done here.
    """
    if not 1 <= n_sink < window:
        raise AnalysisError(
            f"{n_sink} first tokens do not fit into a window of {window}.",
            "Choose at least 1 first token and a larger window.",
        )
    with model.lock:
        n_tokens = len(encode(model.tokenizer, text, bos=bos, parse_special=parse_special))
    if n_tokens <= window + 1:
        raise AnalysisError(
            f"The text has {n_tokens:,} tokens: a window of {window:,} hides nothing from any prediction.",
            f"Use a longer text, or a window of at most {max(n_tokens - 2, 2):,}.",
        )
    report, found = on_progress or silent, {}
    views = equal_views(window, n_sink)
    # Limited runs first: a model whose attention cannot be limited says so before the long one.
    for done, policy in enumerate((*VIEWS[1:], VIEWS[0])):
        visibility = views[policy]
        run = trace(
            model,
            text,
            top_k=1,
            bos=bos,
            parse_special=parse_special,
            attention=visibility is not None,
            visibility=visibility,
            on_progress=part(report, done, len(VIEWS), name=policy),
        )
        found[policy] = run.tokens.surprisal
    return StreamingResult(
        model=model.info.name,
        n_tokens=n_tokens,
        window=window,
        n_sink=n_sink,
        surprisal={policy: found[policy] for policy in VIEWS},
    )
