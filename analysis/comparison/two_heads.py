"""Both vocabulary heads, streamed side by side: what two distributions say of each other, a few rows at a time.

Logits of both sides exist for one block of rows. It is then reduced a few rows at a time, by every thread of a CPU its
own, so that what is in between stays in the processor's caches; each row is whole, and nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.comparison.columns import Columns, columns_of
from analysis.comparison.results import ComparedRows, VocabularyMatch
from analysis.errors import AnalysisError
from analysis.forward.divergence import Divergences, divergences
from analysis.forward.threads import n_threads, share_out
from analysis.forward.vocabulary_head import (
    FLOOR,
    cuts,
    distribution,
    entropy_of,
    rows_per_block,
    rows_per_part,
    said_of,
)
from analysis.models.anatomy import Head
from analysis.ties import ranked


@dataclass(frozen=True, eq=False)
class HeadStates:
    """What the head of one side gets."""

    head: Head
    states: Tensor
    """(n, D): after the final norm; row i predicted the token of pair i."""


@dataclass(frozen=True, eq=False)
class Block:
    """Distributions of a few rows on both sides, in nats; all of it may be overwritten.

    Columns are shared tokens first, in A's order, then those of one side alone; where the vocabularies are identical,
    columns are ids.
    """

    rows: slice
    """Which rows of the states."""
    log_p: Tensor
    """(r, V_a)."""
    p: Tensor
    log_q: Tensor
    """(r, V_b)."""
    q: Tensor
    columns: Columns

    @property
    def shared(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``log_p, p, log_q, q`` of the tokens that both sides have, (r, n_shared) each."""
        s = slice(self.columns.n_shared)
        return self.log_p[:, s], self.p[:, s], self.log_q[:, s], self.q[:, s]


def blocks(
    a: HeadStates, b: HeadStates, match: VocabularyMatch, on_rows: Callable[[int], None]
) -> Iterator[Block]:
    """Run both heads.

    Parameters
    ----------
    a, b : HeadStates
        As many rows on each side. The heads may be on different devices: A's is where the work is done.
    match : VocabularyMatch
        Of the sides, not "different".
    on_rows : callable
        Called with the number of rows of each finished block.

    Yields
    ------
    Block
        In order, without gaps. Call within ``torch.inference_mode()``.
    """
    device = a.head.weight.device
    columns = columns_of(match, a.head.vocab_size, b.head.vocab_size, device)
    for logits in _logits(a, b, n_threads(device), on_rows):
        for part in logits:
            yield _block(*part, columns)


def _logits(
    a: HeadStates, b: HeadStates, times: int, on_rows: Callable[[int], None]
) -> Iterator[list[tuple[slice, Tensor, Tensor]]]:
    """Blocks of logits of both sides, in parts: rows, (r, V_a) and (r, V_b), ``times`` what one thread's caches hold."""
    device, n = a.head.weight.device, len(a.states)
    height = min(rows_per_block(a.head), rows_per_block(b.head), max(n, 1))
    part = min(height, times * rows_per_part(max(a.head.vocab_size, b.head.vocab_size), device))
    places = [
        torch.empty(height, side.head.vocab_size, dtype=torch.float32, device=side.head.weight.device)
        for side in (a, b)
    ]
    for block in cuts(0, n, height):
        both = (
            side.head.logits(side.states[block], place[: block.stop - block.start]).to(device).split(part)
            for side, place in zip((a, b), places, strict=True)
        )
        yield list(zip(cuts(block.start, block.stop, part), *both, strict=True))
        on_rows(block.stop - block.start)


def _block(rows: slice, logits_a: Tensor, logits_b: Tensor, columns: Columns) -> Block:
    return Block(
        rows,
        *distribution(columns.in_order_a(logits_a)),
        *distribution(columns.in_order_b(logits_b)),
        columns,
    )


def compare_rows(
    a: HeadStates,
    b: HeadStates,
    targets_a: Tensor,
    targets_b: Tensor,
    match: VocabularyMatch,
    top_k: int,
    on_rows: Callable[[int], None],
) -> ComparedRows:
    """Reduce the two distributions of every row to what they say of each other.

    Parameters
    ----------
    a, b : HeadStates
        As many rows on each side.
    targets_a, targets_b : Tensor of int64, shape (n,)
        Id of the text's token on each side.
    match : VocabularyMatch
        Of the sides, not "different".
    top_k : int
        How many of the most probable tokens to keep of each side.
    on_rows : callable
        Called with the number of rows of each finished block.

    Returns
    -------
    ComparedRows
        Without a NaN: every row had a context. Where one side has tokens that the other does not, each side's
        own ones together are one more outcome, the rest, and divergences are at least what is shown. A rest that the
        other side cannot have would make KL infinite; its term, which is not negative, is then left out.

    Raises
    ------
    AnalysisError
        If there are no rows, or the vocabularies differ.
    """
    device, n = a.head.weight.device, len(a.states)
    if not n:
        raise AnalysisError("No token was predicted on both sides.", "Take a longer text.")
    k = min(top_k, a.head.vocab_size, b.head.vocab_size)
    of_a, of_b = (targets.to(device) for targets in (targets_a, targets_b))
    columns = columns_of(match, a.head.vocab_size, b.head.vocab_size, device)
    read: dict[str, Tensor] = {}

    def reduce(part: tuple[slice, Tensor, Tensor], _thread: int) -> None:
        rows = part[0]
        for name, values in _said(_block(*part, columns), of_a[rows], of_b[rows], k).items():
            if name not in read:
                read.setdefault(name, values.new_empty((n, *values.shape[1:])))
            read[name][rows] = values

    for logits in _logits(a, b, 1, on_rows):
        share_out(reduce, logits, device)
    return ComparedRows(**{name: values.cpu().numpy() for name, values in read.items()})


def _said(block: Block, target_a: Tensor, target_b: Tensor, k: int) -> dict[str, Tensor]:
    """Everything :class:`ComparedRows` holds of a block, by its names; of tokens given by their ids."""
    columns, log_p, log_q = block.columns, block.log_p, block.log_q
    top_p, top_a = ranked(log_p, k)
    top_q, top_b = ranked(log_q, k)
    said_a, said_b = said_of(log_p, columns.of_a(target_a)), said_of(log_q, columns.of_b(target_b))
    apart = divergences(*block.shared)
    rest: dict[str, Tensor] = {}
    if columns.n_shared < max(log_p.shape[1], log_q.shape[1]):
        apart, rest = _with_rest(block, apart)
    first_a, first_b = top_a[:, 0], top_b[:, 0]
    return {
        "entropy_a": entropy_of(log_p, block.p),
        "entropy_b": entropy_of(log_q, block.q),
        "surprisal_a": said_a["surprisal"],
        "surprisal_b": said_b["surprisal"],
        "kl_ab": apart.kl_pq,
        "kl_ba": apart.kl_qp,
        "jsd": apart.jsd,
        "tv": apart.tv,
        "rank_a": said_a["rank"],
        "rank_b": said_b["rank"],
        "rank_of_a_in_b": _rank_there(log_q, first_a, columns),
        "rank_of_b_in_a": _rank_there(log_p, first_b, columns),
        "top_ids_a": columns.ids_a(top_a),
        "top_ids_b": columns.ids_b(top_b),
        "top_logprobs_a": top_p,
        "top_logprobs_b": top_q,
        "top_a_in_b": _given_there(log_q, top_a, columns),
        "top_b_in_a": _given_there(log_p, top_b, columns),
        "first_differs": ((first_a != first_b) | (first_a >= columns.n_shared)).float(),
        **rest,
    }


def _rank_there(log_probs: Tensor, first: Tensor, columns: Columns) -> Tensor:
    """Rank of one side's first choice on the other, (r,) int32; 0 where it does not have it."""
    there = first < columns.n_shared
    return said_of(log_probs, first.where(there, 0))["rank"].where(there, 0)


def _given_there(log_probs: Tensor, top: Tensor, columns: Columns) -> Tensor:
    """What the other side gives to a side's most probable tokens, (r, k); NaN where it does not have one."""
    there = top < columns.n_shared
    return log_probs.gather(1, top.where(there, 0)).where(there, float("nan"))


def _with_rest(block: Block, apart: Divergences) -> tuple[Divergences, dict[str, Tensor]]:
    """Divergences with one more outcome, the tokens that a side has alone, and its probability on both sides."""
    n = block.columns.n_shared
    own_p, own_q = block.log_p[:, n:], block.log_q[:, n:]
    log_p, log_q = (own.logsumexp(-1, keepdim=True).clamp(min=FLOOR) for own in (own_p, own_q))
    p, q = log_p.exp(), log_q.exp()
    more = divergences(log_p, p, log_q, q)
    both = bool(own_p.shape[1] and own_q.shape[1])
    joined = Divergences(
        kl_pq=apart.kl_pq + more.kl_pq if both or not own_p.shape[1] else apart.kl_pq,
        kl_qp=apart.kl_qp + more.kl_qp if both or not own_q.shape[1] else apart.kl_qp,
        jsd=apart.jsd + more.jsd,
        tv=apart.tv + more.tv,
    )
    return joined, {"rest_a": p[:, 0], "rest_b": q[:, 0]}
