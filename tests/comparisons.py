"""Comparisons of small distributions that are known whole: every number of theirs is computed from two dense arrays.

Row t of the arrays predicted token t; row 0 is NaN, since nothing came before, and the row after the last token is what
would come next. The final states of either side are its log-probabilities, so that a head of the identity gives them again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.comparison.results import (
    Alignment,
    ComparedRows,
    ComparedSpans,
    Comparison,
    VocabularyMatch,
)
from analysis.results.attention import AttentionTrace
from analysis.results.layers import LayerTrace
from analysis.results.tokens import NextToken, TokenTrace
from analysis.results.trace import Trace, TraceSpec

WORDS = (
    *(
        "<s>",
        "The",
        " keeper",
        " lit",
        " the",
        " lamp",
        ".",
        "\n",
        " At",
        " dawn",
        " a",
        " ship",
        " came",
        " in",
    ),
    *(
        " from",
        " sea",
        ",",
        " and",
        " its",
        " crew",
        " slept",
        " Wind",
        " was",
        " low",
        " fog",
        " lay",
        " on",
    ),
    *(" rocks", "!", " Then", " we", " wrote"),
)
"""Text of every id."""
OTHER_WORDS = ("<s>", "The keeper", " l", "it", " t", "he lamp", ".", *WORDS[7:])
"""The same of another tokenizer."""
V = len(WORDS)


@dataclass(frozen=True)
class Truth:
    """The distributions behind a comparison."""

    ids: np.ndarray
    """int64, (n,): the text."""
    log_p: np.ndarray
    """float64, (n + 1, V), nats: row t predicted token t on side A."""
    log_q: np.ndarray
    """The same on side B."""


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities of every row, nats."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def made_truth(n: int = 24, seed: int = 0) -> Truth:
    """Rows from sure to unsure, moved a little or a lot; the text's tokens are drawn from side A."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n + 1, V)) * random.uniform(0.3, 4.0, (n + 1, 1))
    moved = logits + random.normal(size=(n + 1, V)) * random.choice([0.02, 0.3, 2.0], (n + 1, 1))
    log_p, log_q = log_softmax(logits), log_softmax(moved)
    ids = np.array([random.choice(V, p=np.exp(row)) for row in log_p[:n]], np.int64)
    log_p[0] = log_q[0] = np.nan
    return Truth(ids, log_p, log_q)


def entropy_of(log_p: np.ndarray) -> np.ndarray:
    """Entropy of every row, nats."""
    return np.asarray(-(np.exp(log_p) * log_p).sum(-1))


def kl_of(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """KL(p || q) of every row, nats."""
    return np.asarray((np.exp(log_p) * (log_p - log_q)).sum(-1))


def jsd_of(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence of every row, nats."""
    log_m = np.log((np.exp(log_p) + np.exp(log_q)) / 2)
    return np.asarray((kl_of(log_p, log_m) + kl_of(log_q, log_m)) / 2)


def rank_of(log_p: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Rank of an id per row, from 1; 0 for a row of NaN."""
    at = np.take_along_axis(log_p, ids[:, None], -1)
    return np.where(np.isnan(at[:, 0]), 0, 1 + (log_p > at).sum(-1)).astype(np.int32)


def top_of(log_p: np.ndarray, k: int) -> np.ndarray:
    """The k most probable ids of every row, int64, (n, k), best first; -1 in a row of NaN."""
    top = np.argsort(-log_p, -1, kind="stable")[:, :k].astype(np.int64)
    return np.where(np.isnan(log_p[:, :1]), -1, top)


def at_ids(log_p: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Log-probabilities of ids (n, k), nats; NaN where an id is -1."""
    return np.where(ids < 0, np.nan, np.take_along_axis(log_p, np.maximum(ids, 0), -1))


def tokens_of(ids: np.ndarray, log_p: np.ndarray, k: int = 5, words: tuple[str, ...] = WORDS) -> TokenTrace:
    """The tokens of a side, from the rows (n, V) that predicted them."""
    text = tuple(words[i] for i in ids)
    special = ids == 0
    length = np.array([0 if i == 0 else len(words[i]) for i in ids])
    ends = np.cumsum(length)
    top = top_of(log_p, k)
    entropy = entropy_of(log_p)
    varentropy = (np.exp(log_p) * (log_p + entropy[:, None]) ** 2).sum(-1)
    return TokenTrace(
        token_id=ids,
        text=text,
        start=np.where(special, -1, ends - length).astype(np.int32),
        end=np.where(special, -1, ends).astype(np.int32),
        n_bytes=length.astype(np.int32),
        is_special=special,
        cell=np.arange(len(ids), dtype=np.int32),
        cell_text=text,
        context=np.arange(len(ids), dtype=np.int32),
        surprisal=_float32(-at_ids(log_p, ids[:, None])[:, 0]),
        entropy=_float32(entropy),
        varentropy=_float32(varentropy),
        max_prob=_float32(np.exp(log_p.max(-1))),
        rank=rank_of(log_p, ids),
        top_ids=top,
        top_logprobs=_float32(at_ids(log_p, top)),
        names=dict(enumerate(words)),
    )


def trace_of(ids: np.ndarray, log_p: np.ndarray, words: tuple[str, ...] = WORDS) -> Trace:
    """The run of a side, from the rows (n + 1, V) that predicted its tokens and the next one."""
    n = len(ids)
    tokens = tokens_of(ids, log_p[:n], words=words)
    last = log_p[n:]
    top = top_of(last, 5)
    after = NextToken(
        entropy=float(entropy_of(last)[0]),
        varentropy=0.0,
        max_prob=float(np.exp(last.max())),
        top_ids=top[0],
        top_logprobs=_float32(at_ids(last, top)[0]),
    )
    spec = TraceSpec("a made-up model", "made", "r", "float32", "cpu", "0" * 64, n, V, 4, hidden_size=V)
    layers = LayerTrace(residual_norm=np.ones((5, n), np.float32))
    text = "".join(words[i] for i in ids if i)
    return Trace(spec, text, tokens, after, layers, checks=(), final_states=_float32(log_p[1:]))


def rows_of(ids: np.ndarray, log_p: np.ndarray, log_q: np.ndarray, k: int = 5) -> ComparedRows:
    """What compared rows must say, from both sides' distributions (n, V) before the same tokens."""
    top_a, top_b = top_of(log_p, k), top_of(log_q, k)
    known = ~np.isnan(log_p[:, 0] + log_q[:, 0])
    numbers = {
        "entropy_a": entropy_of(log_p),
        "entropy_b": entropy_of(log_q),
        "surprisal_a": -at_ids(log_p, ids[:, None])[:, 0],
        "surprisal_b": -at_ids(log_q, ids[:, None])[:, 0],
        "kl_ab": kl_of(log_p, log_q),
        "kl_ba": kl_of(log_q, log_p),
        "jsd": jsd_of(log_p, log_q),
        "tv": np.abs(np.exp(log_p) - np.exp(log_q)).sum(-1) / 2,
        "first_differs": np.where(known, (top_a[:, 0] != top_b[:, 0]).astype(float), np.nan),
        "top_logprobs_a": at_ids(log_p, top_a),
        "top_logprobs_b": at_ids(log_q, top_b),
        "top_a_in_b": np.where(known[:, None], at_ids(log_q, top_a), np.nan),
        "top_b_in_a": np.where(known[:, None], at_ids(log_p, top_b), np.nan),
    }
    return ComparedRows(
        **{name: _float32(values) for name, values in numbers.items()},
        rank_a=rank_of(log_p, ids),
        rank_b=rank_of(log_q, ids),
        rank_of_a_in_b=np.where(known, rank_of(log_q, np.maximum(top_a[:, 0], 0)), 0).astype(np.int32),
        rank_of_b_in_a=np.where(known, rank_of(log_p, np.maximum(top_b[:, 0], 0)), 0).astype(np.int32),
        top_ids_a=top_a,
        top_ids_b=top_b,
    )


def spans_of(a: TokenTrace, b: TokenTrace, span_a: np.ndarray, span_b: np.ndarray) -> ComparedSpans:
    """What spans must say, from the tokens of both sides."""
    count = int(span_a.max()) + 1

    def summed(values: np.ndarray, span: np.ndarray) -> np.ndarray:
        return np.array([values[span == s].sum(dtype=np.float64) for s in range(count)])

    return ComparedSpans(
        surprisal_a=summed(a.surprisal, span_a),
        surprisal_b=summed(b.surprisal, span_b),
        entropy_a=summed(a.entropy, span_a),
        entropy_b=summed(b.entropy, span_b),
        n_bytes=summed(a.n_bytes, span_a).astype(np.int32),
        n_tokens_a=summed(span_a >= 0, span_a).astype(np.int32),
        n_tokens_b=summed(span_b >= 0, span_b).astype(np.int32),
        text=tuple("".join(a.text[t] for t in np.flatnonzero(span_a == s)) for s in range(count)),
    )


def comparison_of(truth: Truth, ahead: int = 0) -> Comparison:
    """One text on two sides, token by token.

    Parameters
    ----------
    truth : Truth
        The text and both sides' distributions.
    ahead : int, default 0
        Tokens that only side B reads in front of the text; side A then has no context for its first token alone.
    """
    n = len(truth.ids)
    log_p, log_q = truth.log_p, truth.log_q
    if ahead:
        before = log_softmax(np.random.default_rng(1).normal(size=(ahead + 1, V)))
        before[0] = np.nan
        log_q = np.concatenate([before, truth.log_q[1:]])
    ids_b = np.concatenate([np.zeros(ahead, np.int64), truth.ids])
    a, b = trace_of(truth.ids, log_p), trace_of(ids_b, log_q)
    there = np.arange(n)
    span_b = np.concatenate([np.full(ahead, -1), there]).astype(np.int32)
    pairs = np.stack([there, there + ahead], 1)
    alignment = Alignment(
        "suffix" if ahead else "same", pairs, there.astype(np.int32), span_b, a.tokens.n_bytes
    )
    return Comparison(
        a=a,
        b=b,
        differs=(f"{ahead} tokens ahead of the text",) if ahead else ("weights",),
        alignment=alignment,
        vocabulary=VocabularyMatch("identical", "Both sides have the same tokens.", n_shared=V),
        spans=spans_of(a.tokens, b.tokens, alignment.span_a, span_b),
        rows=rows_of(truth.ids, log_p[:n], log_q[ahead : n + ahead]),
        unavailable={"structure": "Neither side is a model."},
    )


def made_comparison(n: int = 24, seed: int = 0, *, ahead: int = 0) -> Comparison:
    """Two sides of one text of n tokens; :func:`made_truth` with the same numbers has the distributions."""
    return comparison_of(made_truth(n, seed), ahead)


def made_spans(seed: int = 0) -> Comparison:
    """One text that two tokenizers split: spans of two tokens and one, one and two, two and two, one and one."""
    ids = np.arange(1, 7)
    one, other = made_truth(6, seed), made_truth(6, seed + 1)
    a, b = trace_of(ids, one.log_p), trace_of(ids, other.log_p, OTHER_WORDS)
    span_a, span_b = np.array([0, 0, 1, 2, 2, 3], np.int32), np.array([0, 1, 1, 2, 2, 3], np.int32)
    spans = spans_of(a.tokens, b.tokens, span_a, span_b)
    why = "The vocabularies are different."
    return Comparison(
        a=a,
        b=b,
        differs=("model",),
        alignment=Alignment("spans", np.zeros((0, 2), np.int64), span_a, span_b, spans.n_bytes),
        vocabulary=VocabularyMatch("different", why, only_a=V, only_b=V),
        spans=spans,
        rows=None,
        unavailable={"rows": why, "structure": why},
    )


def reads_twice(c: Comparison, n_chars: int | None = None) -> Comparison:
    """The same, where B's text begins with the first characters of A's, all of them by default."""
    return replace(c, b=replace(c.b, text=c.a.text[:n_chars] + c.a.text))


def attention(received: np.ndarray, entropy: float = 1.0, sink: float = 0.3) -> AttentionTrace:
    """Attention of one layer with two heads that do the same."""
    n = len(received)
    kv = np.ones((1, 1, n), np.float32)
    return AttentionTrace(
        entropy=np.full((1, 2, n), entropy, np.float32),
        received=np.stack([received, received])[None].astype(np.float32),
        sink_mass=np.full((1, 2), sink, np.float32),
        sink_baseline=np.full(1, 0.1, np.float32),
        distance=np.ones((1, 2), np.float32),
        value_norm=kv,
        key_norm=kv,
        window=np.zeros(1, np.int32),
    )


def _float32(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)
