"""The vocabulary head, streamed: everything a distribution says, a few rows at a time.

Rows are the unit of work: the logits of a block of rows exist, are reduced to a dozen
numbers per row, and are gone. Memory is bounded by the block, never T x V, and each
row is normalised in one piece, so nothing is approximated. (Blocks of the vocabulary
with running sums would bound memory just as well but lose digits in the variance.)
A block is multiplied at once and then reduced a few rows at a time, by every thread of a CPU its
own, so that what is in between stays in the processor's caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from analysis.forward.threads import n_threads, share_out
from analysis.models.anatomy import Anatomy, Head
from analysis.results.token_quantities import stored_quantities
from analysis.ties import ranked

BLOCK_BYTES = 32 << 20
"""Size of one block of float32 logits. One exists at a time, two for the lens, and one more while oneDNN multiplies.
They are written again and again: new ones for every block would scatter over the heap and take ten."""
CUDA_BLOCK_BYTES = 128 << 20
"""The same on a CUDA device, where every block reads all weights of the head from its memory."""
PART_BYTES = 1 << 20
"""Size of one float32 part of a block on a CPU, so that what a thread makes of it stays in its caches. Whole blocks
take 1.6 times as long."""
FLOOR = -1e4
"""Log-probability of an impossible token: exp() of it is 0, and 0 * it is 0, not NaN."""


@dataclass(frozen=True)
class Rows:
    """One entry per row of states; row i predicts token i + 1."""

    entropy: np.ndarray
    varentropy: np.ndarray
    max_prob: np.ndarray
    surprisal: np.ndarray
    """NaN where no target was given."""
    rank: np.ndarray
    """0 where no target was given."""
    top_ids: np.ndarray
    top_logprobs: np.ndarray


def rows_per_block(head: Head) -> int:
    """Rows whose logits fill one block."""
    size = CUDA_BLOCK_BYTES if head.weight.is_cuda else BLOCK_BYTES
    return max(1, size // (4 * head.vocab_size))


def rows_per_part(vocab_size: int, device: torch.device) -> int:
    """Rows of a block that a thread reduces at once: as many as its caches hold; on other devices a whole block."""
    return max(1, PART_BYTES // (4 * vocab_size)) if device.type == "cpu" else 1 << 30


def cuts(begin: int, end: int, step: int) -> Iterator[slice]:
    """Slices of ``step`` rows from ``begin`` to ``end``, the last one shorter."""
    return (slice(first, min(first + step, end)) for first in range(begin, end, step))


def distribution(logits: Tensor, probs: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Log-probabilities and probabilities of a block of logits, in place.

    Parameters
    ----------
    logits : Tensor, shape (N, V), float32 or better
        Overwritten.
    probs : Tensor, shape (N, V), optional
        Where to write the probabilities; a new tensor by default.

    Returns
    -------
    tuple of Tensor, shape (N, V)
        Natural log-probabilities, finite everywhere, and probabilities. One exponential
        serves both, and its sum is a pairwise one: the library's fused log-softmax adds
        50,000 terms in a row and is ten times less exact.
    """
    log_probs = logits.sub_(logits.amax(-1, keepdim=True)).clamp_(min=FLOOR)
    probs = torch.exp(log_probs, out=probs)
    total = probs.sum(-1, keepdim=True)
    return log_probs.sub_(total.log()), probs.div_(total)


def entropy_of(log_probs: Tensor, probs: Tensor, scratch: Tensor | None = None) -> Tensor:
    """Shannon entropy ``-sum p ln p`` of distributions, shape (N, V) -> (N,), in nats."""
    return -torch.mul(probs, log_probs, out=scratch).sum(-1)


def varentropy_of(log_probs: Tensor, probs: Tensor, entropy: Tensor, scratch: Tensor | None = None) -> Tensor:
    """Varentropy ``sum p (ln p + H)^2``, shape (N, V) -> (N,), in nats squared.

    Taken around the entropy and not as a difference of squares, which would cancel
    when the variance is small.
    """
    return torch.add(log_probs, entropy[:, None], out=scratch).square_().mul_(probs).sum(-1)


def _room(head: Head, *shape: int) -> Tensor:
    """For so many numbers per token of the vocabulary."""
    return torch.empty(*shape, head.vocab_size, dtype=torch.float32, device=head.weight.device)


def read_rows(
    head: Head, states: Tensor, targets: Tensor | None, top_k: int, on_rows: Callable[[int], None]
) -> Rows:
    """Reduce the distribution of every row to its numbers.

    Parameters
    ----------
    head : Head
        Vocabulary head.
    states : Tensor, shape (N, D)
        After the final norm.
    targets : Tensor, shape (M,), M <= N, optional
        Id of the token that came after each of the first M rows.
    top_k : int
        How many alternatives to keep per row.
    on_rows : callable
        Called with the number of rows of each finished block.
    """
    n, k = len(states), min(top_k, head.vocab_size)
    m = 0 if targets is None else len(targets)
    device = head.weight.device
    empty = {q.name: torch.from_numpy(np.full(n, q.missing, q.stored)) for q in stored_quantities()}
    read = {name: values.to(device) for name, values in empty.items()}
    read["top_ids"] = torch.zeros(n, k, dtype=torch.int64, device=device)
    read["top_logprobs"] = torch.zeros(n, k, device=device)
    target = None if targets is None else targets.to(device)
    height, part = rows_per_block(head), rows_per_part(head.vocab_size, device)
    block, places = _room(head, min(n, height)), _room(head, n_threads(device), 2, min(n, height, part))

    def reduce(part: tuple[slice, Tensor], thread: int) -> None:
        rows, logits = part
        probs, scratch = places[thread, :, : len(logits)]
        log_probs, probs = distribution(logits, probs)
        if target is not None and rows.start < m:
            known = slice(rows.start, min(rows.stop, m))
            few = slice(0, known.stop - known.start)
            for name, values in said_of(log_probs[few], target[known], scratch[few]).items():
                read[name][known] = values
        for name, values in said_by(log_probs, probs, k, scratch).items():
            read[name][rows] = values

    for rows in cuts(0, n, height):
        logits = head.logits(states[rows], block[: rows.stop - rows.start])
        share_out(reduce, zip(cuts(rows.start, rows.stop, part), logits.split(part), strict=True), device)
        on_rows(len(logits))
    return Rows(**{name: values.cpu().numpy() for name, values in read.items()})


def said_by(log_probs: Tensor, probs: Tensor, k: int, scratch: Tensor | None = None) -> dict[str, Tensor]:
    """What distributions of shape (N, V) say whatever comes, by the names in :class:`Rows`, an entry per row each."""
    top_logprobs, top_ids = ranked(log_probs, k)
    entropy = entropy_of(log_probs, probs, scratch)
    return {
        "entropy": entropy,
        "varentropy": varentropy_of(log_probs, probs, entropy, scratch),
        "max_prob": top_logprobs[:, 0].exp(),
        "top_ids": top_ids,
        "top_logprobs": top_logprobs,
    }


def said_of(log_probs: Tensor, ids: Tensor, scratch: Tensor | None = None) -> dict[str, Tensor]:
    """Surprisal and rank of one token per row, (N, V) and (N,), by the names in :class:`Rows`."""
    of_token = log_probs.gather(1, ids[:, None])
    return {"surprisal": -of_token[:, 0], "rank": _ranks(log_probs, of_token, scratch)}


def _ranks(log_probs: Tensor, of_target: Tensor, scratch: Tensor | None) -> Tensor:
    """One plus how many tokens are more probable than one, (N, V) and (N, 1) -> int32, (N,)."""
    return torch.gt(log_probs, of_target, out=scratch).sum(-1).int() + 1


def read_lens(
    anatomy: Anatomy,
    states: list[Tensor],
    final_states: Tensor,
    targets: Tensor,
    on_rows: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Entropy, KL to the output, first choice, and the rank of the token that came, of the logit lens.

    Parameters
    ----------
    anatomy : Anatomy
        Parts of the model.
    states : list of Tensor, each of shape (N, D)
        Residual states after the chosen layers, before the final norm.
    final_states : Tensor, shape (N, D)
        What the head really got: the output distribution is the KL's reference.
    targets : Tensor, shape (M,), M <= N
        Id of the token that came after each of the first M rows.
    on_rows : callable
        Called with the number of rows finished, once per block and layer.

    Returns
    -------
    tuple of numpy.ndarray, each of shape (n, N)
        Entropy (nats), KL(output || lens) (nats), id of the first choice, and rank of the target, 0 without one.
    """
    head, n = anatomy.head, len(final_states)
    device = head.weight.device
    entropy, kl = (torch.zeros(len(states), n, device=device) for _ in range(2))
    top = torch.zeros(len(states), n, dtype=torch.int64, device=device)
    rank = torch.zeros(len(states), n, dtype=torch.int32, device=device)
    after = targets[:, None].to(device)
    height, part = rows_per_block(head), rows_per_part(head.vocab_size, device)
    of_output, of_layer = _room(head, 2, min(n, height))
    places = _room(head, n_threads(device), 2, min(n, height, part))
    negative_entropy = torch.zeros(n, device=device)

    def keep(part: tuple[slice, Tensor], thread: int) -> None:
        rows, output = part
        probs, scratch = places[thread, :, : len(output)]
        log_probs, probs = distribution(output, probs)
        negative_entropy[rows] = -entropy_of(log_probs, probs, scratch)
        output.copy_(probs)  # all that the layers need of it

    def reduce(part: tuple[int, slice, Tensor, Tensor], thread: int) -> None:
        layer, rows, output, logits = part
        probs, scratch = places[thread, :, : len(logits)]
        log_probs, probs = distribution(logits, probs)
        cross = torch.mul(output, log_probs, out=scratch).sum(-1)
        kl[layer, rows] = (negative_entropy[rows] - cross).clamp(min=0)
        top[layer, rows] = log_probs.argmax(-1)
        entropy[layer, rows] = entropy_of(log_probs, probs, scratch)
        target = after[rows]
        few, known = slice(0, len(target)), slice(rows.start, rows.start + len(target))
        rank[layer, known] = _ranks(log_probs[few], log_probs[few].gather(1, target), scratch[few])

    for block in cuts(0, n, height):
        output = head.logits(final_states[block], of_output[: block.stop - block.start])
        rows, outputs = list(cuts(block.start, block.stop, part)), output.split(part)
        share_out(keep, zip(rows, outputs, strict=True), device)
        for layer, layer_states in enumerate(states):
            normed = anatomy.final(layer_states[None, block])[0]
            logits = head.logits(normed, of_layer[: len(normed)]).split(part)
            share_out(reduce, zip(repeat(layer), rows, outputs, logits, strict=False), device)
            on_rows(len(normed))
    return entropy.cpu().numpy(), kl.cpu().numpy(), top.cpu().numpy(), rank.cpu().numpy()


def about_tokens(per_row: np.ndarray, missing: float) -> np.ndarray:
    """Shift rows to tokens: entry t is what row t - 1 predicted about token t.

    The only place where the shift by one happens. The last axis is the position; of an
    array (N, k) use the transpose. Entry 0 is ``missing``; the last row, which predicts
    what comes after the text, drops out.
    """
    shifted = np.full_like(per_row, missing)
    shifted[..., 1:] = per_row[..., :-1]
    return shifted
