"""What one look at a Bigram-Backcopy model records.

The sink, the value drain and the state norms are not defined here: weights, values and states become the arrays
of an :class:`~analysis.results.attention.AttentionTrace`, and :func:`~analysis.attention_sinks.measures.triad`
reads them as it reads any other model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from analysis.attention_sinks.measures import triad
from analysis.entropy_collapse.labs.backcopy.model import Decoder, Seen
from analysis.entropy_collapse.labs.backcopy.task import BackcopyTask, row_entropy
from analysis.results.attention import AttentionTrace


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Sequences that are looked at and never trained on, n of T tokens each."""

    ids: np.ndarray
    """int64, (n, T)."""
    truth: np.ndarray
    """float64, (n, T, C): true distribution of the next token."""
    is_trigger: np.ndarray
    """bool, (n, T)."""
    is_ordinary: np.ndarray
    """bool, (n, T): neither a trigger nor token 0."""
    oracle_markov: float
    """Exact risk of the oracle after ordinary characters, nats."""


def hold_out(task: BackcopyTask, ids: np.ndarray) -> HeldOut:
    """Sequences with all that is known about them.

    Parameters
    ----------
    task : BackcopyTask
        The rules.
    ids : numpy.ndarray of int64, shape (n, T)
        From :meth:`BackcopyTask.sequences`.
    """
    is_trigger = task.is_trigger(ids)
    is_ordinary = ~is_trigger
    is_ordinary[:, 0] = False
    truth = task.next_distribution(ids)
    return HeldOut(ids, truth, is_trigger, is_ordinary, task.oracle(ids.shape[1]).markov)


def evaluate(model: Decoder, held: HeldOut) -> dict[str, Any]:
    """Everything a run keeps of one step.

    Parameters
    ----------
    model : Decoder
        L layers.
    held : HeldOut
        Sequences.

    Returns
    -------
    dict
        Fields of :class:`~analysis.entropy_collapse.labs.backcopy.results.BackcopyRun`, without the steps axis.
    """
    seen: list[Seen] = []
    states: list[Tensor] = []
    with torch.no_grad():
        logits = model(torch.from_numpy(held.ids), seen, states)
        log_probs = functional.log_softmax(logits.double(), dim=-1).numpy()[..., : held.truth.shape[-1]]
    norms = torch.stack([state.norm(dim=-1) for state in states], dim=1).numpy()
    triads = [triad(trace, norm) for trace, norm in zip(attention_traces(seen), norms, strict=True)]
    first = torch.stack([layer.weights[:, :, 0] for layer in seen], dim=1).double().numpy()
    mass = torch.stack([layer.weights.sum(-1) for layer in seen], dim=1).double().numpy()
    ordinary = held.is_ordinary
    return risks(log_probs, held) | {
        "sink": np.mean([t.sink[:, 0] for t in triads], axis=0),
        "value_drain": np.mean([t.value_drain[:, 0] for t in triads], axis=0),
        "residual_token": np.mean([t.residual_token for t in triads], axis=0),
        "residual_median": np.mean([t.residual_median for t in triads], axis=0),
        "residual_max": np.mean([t.residual_max for t in triads], axis=0),
        "sink_ordinary": _mean_over(first, ordinary),
        "sink_trigger": _mean_over(first, held.is_trigger),
        "row_mass": _mean_over(mass, ordinary),
        "delta_logit": _mean_over(
            np.stack([delta_logit(s.scores.double().numpy()) for s in seen], 1), ordinary
        ),
        "by_character": by_character(first, held.ids, held.truth.shape[-1]),
    }


def attention_traces(seen: list[Seen]) -> list[AttentionTrace]:
    """One trace a sequence, with L layers of one head each.

    Notes
    -----
    Fields as everywhere else. Rows of ReLU attention need not sum to 1: their entropy and distance are those
    of the row divided by its sum, NaN where it is 0 throughout.
    """
    weights = torch.stack([layer.weights for layer in seen], dim=1).double()  # (n, L, T, T)
    n, n_layers, n_tokens, _ = weights.shape
    position = torch.arange(n_tokens, dtype=torch.float64)
    mass = weights.sum(-1)
    share = weights / torch.where(mass > 0, mass, torch.nan)[..., None]
    entropy = torch.special.entr(share).sum(-1)
    away = (share * (position[:, None] - position)).sum(-1)[..., 1:]
    fields = {
        "entropy": entropy,
        "received": weights.sum(-2) / (n_tokens - position),
        "sink_mass": weights[..., 1:, 0].mean(-1),
        "distance": away.nanmean(-1),
        "value_norm": torch.stack([layer.value.norm(dim=-1) for layer in seen], dim=1),
        "key_norm": torch.stack([layer.key.norm(dim=-1) for layer in seen], dim=1),
    }
    arrays = {name: x.float().numpy()[:, :, None] for name, x in fields.items()}  # one head, one KV head
    baseline = np.full(n_layers, (1 / (position[1:] + 1)).mean(), np.float32)
    window = np.zeros(n_layers, np.int32)
    return [
        AttentionTrace(
            sink_baseline=baseline, window=window, **{name: array[i] for name, array in arrays.items()}
        )
        for i in range(n)
    ]


def risks(log_probs: np.ndarray, held: HeldOut) -> dict[str, float]:
    """Risk after ordinary characters, its standard error, and risk after triggers, nats.

    Parameters
    ----------
    log_probs : numpy.ndarray, shape (n, T, C)
        What the model says of the next character.
    held : HeldOut
        The sequences.

    Notes
    -----
    Risk is ``-sum p* ln q`` with the true distribution p*, not with the one character that was drawn. It is
    the entropy of p* plus ``KL(p* || q)``; the entropy's mean is known exactly, so only the divergence is
    estimated from the sequences, and the risk of ordinary characters can never lie below the oracle's.
    """
    loss = -(held.truth * np.where(held.truth > 0, log_probs, 0.0)).sum(-1)
    excess = loss - row_entropy(held.truth)
    ordinary, trigger = held.is_ordinary, held.is_trigger
    mean = excess[ordinary].mean()
    # a ratio of sums over sequences: its error comes from how far each sequence is from the common ratio
    off = np.where(ordinary, excess - mean, 0.0).sum(1)
    error = np.sqrt((off**2).sum()) / ordinary.sum()
    return {
        "markov": held.oracle_markov + float(mean),
        "markov_error": float(error),
        "backcopy": float(loss[trigger].mean()),
    }


def delta_logit(scores: np.ndarray) -> np.ndarray:
    """Score of token 0 minus the mean score of the other visible tokens, (n, T); row 0 has none and is 0.

    Parameters
    ----------
    scores : numpy.ndarray, shape (n, T, T)
        Before the mask.
    """
    n_tokens = scores.shape[-1]
    others = np.tril(np.ones((n_tokens, n_tokens)))
    others[:, 0] = 0
    return np.where(
        np.arange(n_tokens) > 0,
        scores[:, :, 0] - (scores * others).sum(-1) / np.maximum(others.sum(-1), 1),
        0.0,
    )


def by_character(first: np.ndarray, ids: np.ndarray, n_characters: int) -> np.ndarray:
    """Mean attention on token 0 by the character that attends, (L, C); NaN for one that never came.

    Parameters
    ----------
    first : numpy.ndarray, shape (n, L, T)
        Weight of each query on key 0.
    ids : numpy.ndarray of int64, shape (n, T)
        Characters of the queries; those from ``n_characters`` on are left out.
    n_characters : int
        C.
    """
    count = np.bincount(ids.ravel(), minlength=n_characters)[:n_characters]
    sums = [
        np.bincount(ids.ravel(), weights=first[:, layer].ravel(), minlength=n_characters)[:n_characters]
        for layer in range(first.shape[1])
    ]
    return np.where(count > 0, np.stack(sums) / np.maximum(count, 1), np.nan)


def _mean_over(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean of (n, L, T) over the chosen ones of (n, T), shape (L,)."""
    return np.asarray((values * chosen[:, None]).sum((0, 2)) / chosen.sum())
