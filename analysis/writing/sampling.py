"""How the next token is drawn: an ordered chain of samplers, and noise that belongs to seed, sample and position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.forward.vocabulary_head import FLOOR
from analysis.token_entropy.samplers import Kept
from analysis.token_entropy.truncation import left_by
from analysis.writing.results import Samplers
from analysis.writing.sampler_chain import SAMPLERS, parse_samplers

LEAST_TEMPERATURE = 1e-300
"""Below it, and above 0, a score would leave the range of float64; unequal tokens are infinitely far apart long before."""


@dataclass(frozen=True)
class Drawn:
    """The next token of every row, and what the samplers left of the vocabulary. On the CPU."""

    ids: Tensor
    """int64, (N,)."""
    drawn_prob: Tensor
    """float32, (N,): probability after all samplers of the token drawn; 1 where none draws."""
    n_kept: Tensor
    """int32, (N, S): tokens that are left after each sampler."""
    mass_kept: Tensor
    """float32, (N, S): probability of these in the model's own distribution, at temperature 1."""


def draw(
    log_probs: Tensor,
    samplers: Samplers,
    samples: Sequence[int],
    position: int | Sequence[int],
    history: Tensor | Sequence[Tensor] | None = None,
    *,
    n_ids: int | None = None,
    shift: Tensor | None = None,
) -> Drawn:
    """Draw the next token of every row.

    Parameters
    ----------
    log_probs : Tensor, shape (N, V)
        The model's own log-probabilities at temperature 1, nats. Not changed.
    samplers : Samplers
        From :func:`parse_samplers`.
    samples : sequence of int, length N
        Number of the sample that each row is.
    position : int, or a sequence of N
        Position of the new token in its path.
    history : Tensor (N, t) of int64, or N of any length, optional
        Ids of the path so far, prompt included; only the repetition penalty needs it.
    n_ids : int, optional
        Ids from here on are padding of the head that no token uses. They are never drawn, and keep their probability
        in ``mass_kept``.
    shift : Tensor, shape (N,), optional
        What a row of logits has more than its log-probabilities. The repetition penalty goes by the sign of a logit;
        without it, it goes by that of the log-probability, which is never positive.

    Returns
    -------
    Drawn

    Raises
    ------
    AnalysisError
        If the model gives no token a probability.

    Notes
    -----
    Of equally probable tokens the smallest id is taken where nothing is drawn. Else the token is the first arrival of
    a race, ``argmin -ln(u) / q``, which is ``argmax (ln q + Gumbel noise)``, with u from :func:`noise`: each row draws
    by itself, and a rounding in q changes the outcome only where two tokens arrive together.
    """
    if history is None and any(name == "repetition-penalty" for name, _ in samplers.steps):
        raise ValueError("the repetition penalty needs the history")
    n, n_steps = len(log_probs), len(samplers.steps)
    rows, places = log_probs.cpu(), np.broadcast_to(position, n).tolist()
    ids, q = torch.zeros(n, dtype=torch.int64), torch.ones(n)
    counts, masses = torch.zeros(n, n_steps, dtype=torch.int32), torch.zeros(n, n_steps)
    for i in range(n):
        kept, scores = _possible(rows[i], places[i], n_ids)
        if not n_steps:
            ids[i] = kept[_first_best(scores)]
            continue
        if shift is not None:
            scores = scores + float(shift[i])
        p = rows[i].double().exp()
        seen = None if history is None else torch.as_tensor(history[i]).cpu()
        for s, (name, setting) in enumerate(samplers.steps):
            before = len(kept) if s else -1
            kept, scores = _step(name, setting, kept, scores, seen)
            counts[i, s] = len(kept)
            masses[i, s] = masses[i, s - 1] if len(kept) == before else _mass(p, kept)
        probs = scores.softmax(0)
        u = noise(samplers.seed, samples[i], places[i], int(kept[-1]) + 1)[kept]
        first = (-u.log() / probs).argmin()
        ids[i], q[i] = kept[first], probs[first]
    return Drawn(ids, q, counts, masses)


def noise(seed: int, sample: int, position: int, n: int) -> Tensor:
    """Uniform numbers of one draw, (n,), float64, above 0 and below 1.

    They follow from the three numbers alone: Philox 4x64 is a keyed hash of a counter, with seed and sample as its key
    and the position above what it counts.
    """
    key, counter = np.array([seed, sample], np.uint64), np.array([0, 0, position, 0], np.uint64)
    bits = np.random.Philox(key=key, counter=counter).random_raw(n)
    return torch.from_numpy(((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


def kept_alone(
    log_probs: Tensor,
    steps: Iterable[tuple[str, float]],
    actual: int | None = None,
    *,
    history: Tensor | None = None,
    n_ids: int | None = None,
) -> list[Kept]:
    """What each sampler of a chain would leave by itself, at temperature 1.

    Parameters
    ----------
    log_probs : Tensor, shape (V,)
        Nats.
    steps : iterable of (str, float)
        See :func:`parse_samplers`.
    actual : int, optional
        Id of the token that came.
    history, n_ids
        Of one row, as for :func:`draw`.

    Returns
    -------
    list of Kept
        One per step.
    """
    row = log_probs.cpu()
    (possible, scores), p = _possible(row, None, n_ids), row.double().exp()
    found = []
    for name, setting in parse_samplers(steps).steps:
        kept, _ = _step(name, setting, possible, scores, history)
        here = None if actual is None else bool((kept == actual).any())
        found.append(Kept(f"{SAMPLERS[name].label} {setting:g}", len(kept), _mass(p, kept), here))
    return found


def _possible(row: Tensor, position: int | None, n_ids: int | None) -> tuple[Tensor, Tensor]:
    """Ids that can be drawn, rising, and their scores, float64."""
    has = row[:n_ids] > FLOOR
    possible = torch.arange(len(has)) if has.all() else has.nonzero()[:, 0]
    if not len(possible) or not torch.isfinite(row.max()):
        where = "after this text" if position is None else f"at position {position}"
        raise AnalysisError(
            f"The model gives no token a probability {where}.",
            "Its numbers leave the range of this precision: load it in float32.",
        )
    scores = row[:n_ids].double()
    return possible, scores if len(possible) == len(scores) else scores[possible]


def _step(
    name: str, setting: float, ids: Tensor, scores: Tensor, seen: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Ids and scores, float64, that one sampler leaves."""
    if name == "temperature" and setting == 0:
        best = _first_best(scores)
        return ids[best : best + 1], scores[best : best + 1]
    if name == "temperature":
        return ids, scores / max(setting, LEAST_TEMPERATURE)
    if name == "repetition-penalty":
        return ids, scores if seen is None else torch.where(
            torch.isin(ids, seen), penalised(scores, setting), scores
        )
    left = left_by(name, setting, scores - scores.max())
    return ids[left], scores[left]


def penalised(scores: Tensor, penalty: float) -> Tensor:
    """Scores of tokens that are already in the text.

    Source: Keskar et al. 2019 (arXiv:1909.05858) divide every such score. As in transformers, negative ones are
    multiplied here, so that the penalty never raises a score.
    """
    return torch.where(scores < 0, scores * penalty, scores / penalty)


def _first_best(scores: Tensor) -> int:
    """Index of the highest; of equal ones the first."""
    return int((scores == scores.max()).nonzero()[0, 0])


def _mass(p: Tensor, kept: Tensor) -> float:
    return min(1.0, float(p[kept].sum()))
