"""Attention between tokens: what every query gives every key, mean over all heads, and who attends most to each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.attention_sinks.maps import row_weights
from analysis.errors import AnalysisError
from analysis.forward.attention import HeadGroup, block_bytes
from analysis.forward.attention_adapter import AttentionCall, attend_call, attending, own_mask
from analysis.forward.rerun import rerun
from analysis.forward.visibility import Visibility
from analysis.models.body import run_body
from analysis.models.loading import LanguageModel
from analysis.progress import Progress, silent
from analysis.results.trace import Trace

LONGEST = 4096
"""Tokens of a text whose T x T numbers are kept: 64 MiB, and three times that while they are taken."""
N_STRONGEST = 3


@dataclass(frozen=True, eq=False)
class TokenAttention:
    """Attention between the tokens of one run, over all heads of all layers that have attention."""

    mean: np.ndarray
    """float32, (T, T), in [0, 1]: row q is what query q gives every key, mean over heads; 0 where it does not see it."""
    query: np.ndarray
    """int32, (T, 3): the later queries that attend most to each key, by the one head that does; -1 where there are fewer."""
    layer: np.ndarray
    """int32, (T, 3): layer of that head; -1 likewise."""
    head: np.ndarray
    """int32, (T, 3): its number in the layer; -1 likewise."""
    weight: np.ndarray
    """float32, (T, 3), falling: the weight it gives; 0 likewise."""

    def attending_to(self, key: int, most: int = 6) -> np.ndarray:
        """Later queries that give most to a key, mean over heads, int64, (at most ``most``,), the highest first."""
        paid = self.mean[key + 1 :, key]
        order = np.argsort(-paid, kind="stable")[:most]
        return np.asarray(order[paid[order] > 0] + key + 1)


def attention_between_tokens(
    model: LanguageModel,
    trace: Trace,
    *,
    visibility: Visibility | None = None,
    on_progress: Progress | None = None,
) -> TokenAttention:
    """Read a run's tokens once more and keep attention between tokens.

    Parameters
    ----------
    model : LanguageModel
        The one that made the run.
    trace : Trace
        A run that measured attention over one whole text of at most :data:`LONGEST` tokens.
    visibility : Visibility, optional
        What the run hid; required when it hid something.
    on_progress : callable, optional
        ``on_progress(share, what)``, once per layer. Raising from it stops the pass.

    Returns
    -------
    TokenAttention

    Raises
    ------
    AnalysisError
        If the text is too long, and as :func:`analysis.forward.rerun.rerun`.

    Notes
    -----
    A weight is ``softmax(s)_k`` of the query's scores s over the keys it sees, a learned sink logit beside them
    where the model has one: the same weights as those of :func:`analysis.head_map_block`.
    """
    n = len(trace.tokens)
    if n > LONGEST:
        raise AnalysisError(
            f"The text has {n:,} tokens; attention between tokens is kept for at most {LONGEST:,}.",
            "Shorten the text to see who attends to a token.",
        )
    report = on_progress or silent
    with rerun(model, trace, visibility) as ids:
        device = model.anatomy.head.weight.device
        watcher = _Watcher(n, model.info.n_layers, device, visibility, report)
        with attending(model.model, model.anatomy, watcher):
            run_body(model.model, ids[None].to(device))
        report(1.0, "done")
        return watcher.result()


class _Watcher:
    """Attends, and adds every layer's weights up; an :data:`analysis.forward.attention_adapter.Attend`."""

    def __init__(
        self, n: int, n_layers: int, device: torch.device, visibility: Visibility | None, report: Progress
    ) -> None:
        self.n_layers, self.visibility, self.report = n_layers, visibility, report
        self.total = torch.zeros(n, n, device=device)
        self.best = torch.zeros(n, n, device=device)
        self.where = torch.full((n, n), -1, dtype=torch.int32, device=device)
        """Layer times heads plus head of the best."""
        self.n_heads, self.n_maps = 1, 0

    def __call__(self, call: AttentionCall) -> Tensor:
        own_mask(call)
        self.report(
            call.layer / self.n_layers, f"attention between tokens, layer {call.layer}/{self.n_layers}"
        )
        self._watch(call)
        return attend_call(call, self.visibility).output[None]

    def _watch(self, call: AttentionCall) -> None:
        query, key = call.query[0], call.key[0]
        self.n_heads, n, _ = query.shape
        self.n_maps += self.n_heads
        per_group = self.n_heads // len(key)
        size = max(1, block_bytes(query.device) // (4 * per_group * n))
        for number in range(len(key)):
            heads = slice(number * per_group, (number + 1) * per_group)
            hidden = self.visibility.hidden_keys(call.layer, number, key.device) if self.visibility else None
            keys = key[number].float()
            group = HeadGroup(query[heads], keys, keys, call.scale, call.softcap, hidden)
            sinks = None if call.sink_logits is None else call.sink_logits[heads, None, None].float()
            for begin in range(0, n, size):
                rows = range(begin, min(begin + size, n))
                seen = range(call.span.first_key(begin), rows.stop)
                scores = group.scores(rows, seen, call.span, self.visibility)
                weights, _ = row_weights(scores, sinks)
                self._take(weights, rows, seen, call.layer * self.n_heads + heads.start)

    def _take(self, weights: Tensor, rows: range, seen: range, first: int) -> None:
        """Add one block of weights, (heads, rows, keys) of heads from number ``first`` on."""
        here = (slice(rows.start, rows.stop), slice(seen.start, seen.stop))
        self.total[here] += weights.sum(0)
        largest, head = weights.max(0)
        better = largest > self.best[here]
        self.best[here] = torch.where(better, largest, self.best[here])
        self.where[here] = torch.where(better, (head + first).int(), self.where[here])

    def result(self) -> TokenAttention:
        """Means, and the strongest of the later queries."""
        self.best.tril_(-1)
        found = []
        for _ in range(
            min(N_STRONGEST, len(self.best))
        ):  # not `topk`: of equal weights the earliest query comes first
            found.append(self.best.max(0))
            self.best.scatter_(0, found[-1].indices[None], -1.0)
        weight, keyed = torch.stack([x.values for x in found]), torch.stack([x.indices for x in found])
        where = self.where.gather(0, keyed)
        missing = weight <= 0
        query, layer, head = (
            _filled(x.masked_fill(missing, -1))
            for x in (keyed.int(), where // self.n_heads, where % self.n_heads)
        )
        return TokenAttention(
            (self.total / self.n_maps).cpu().numpy(), query, layer, head, _filled(weight, 0.0)
        )


def _filled(found: Tensor, missing: float = -1) -> np.ndarray:
    """(at most 3, T) on the device as (T, 3) here."""
    out = np.full((found.shape[1], N_STRONGEST), missing, found.cpu().numpy().dtype)
    out[:, : len(found)] = found.cpu().numpy().T
    return out
