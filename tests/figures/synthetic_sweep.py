"""A sweep made by hand, so that its pictures can be tested without a model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analysis.models.tokenization import TokenizedText
from analysis.pruning_effects.eviction.results import Setting, Sweep, SweepSpec

CONTEXT = ("The", " grey", " cat", " <b>sat</b>", "\n", " ‹E8›", "‹AA›", "‹9E›")
"""The last three tokens are one character."""
TEXT = "".join(CONTEXT[:5]) + " 語"
CONTINUATION = (" on", " the", " atlas", "‹E8›")
L, G, N, M = 3, 2, len(CONTEXT), len(CONTINUATION)
FIRST_HALF = np.arange(N) < N // 2
EVEN = np.arange(N) % 2 == 0


def encoding(cell_text: tuple[str, ...], cell: Iterable[int]) -> TokenizedText:
    """Tokens that cover whole cells of a text; ids are their numbers."""
    cells = np.array(list(cell), np.int32)
    ends = np.cumsum([len(text) for text in cell_text]).astype(np.int32)
    starts = ends - np.array([len(text) for text in cell_text], np.int32)
    n = len(cells)
    return TokenizedText(
        np.arange(n), starts[cells], ends[cells], np.ones(n, np.int32), np.zeros(n, bool), cells, cell_text
    )


def context_encoding(repeat: int) -> TokenizedText:
    """Tokens of the context, written so many times."""
    cell = [6 * at + min(t, 5) for at in range(repeat) for t in range(N)]
    return encoding((*CONTEXT[:5], " 語") * repeat, cell)


def sweep(*, n_answer: int = 0, repeat: int = 1) -> Sweep:
    """Full cache; "snapkv" keeps the first half, "knorm" even tokens, two seeds of "random", "tokenselect" everything.

    ``repeat`` makes the context longer.
    """
    n = N * repeat
    rng = np.random.default_rng(0)
    first, even = np.arange(n) < n // 2, np.arange(n) % 2 == 0
    drawn = [np.stack([rng.permutation(even) for _ in range(L * G)]).reshape(L, G, n) for _ in range(2)]
    masks = [
        np.ones((L, G, n), bool),
        np.broadcast_to(first, (L, G, n)),
        np.broadcast_to(even, (L, G, n)),
        *drawn,
        np.ones((L, G, n), bool),
    ]
    named = [
        ("full", "full cache", 1.0, 0),
        ("snapkv", "SnapKV", 0.5, 0),
        ("knorm", "key norm", 0.5, 0),
        ("random", "random", 0.5, 0),
        ("random", "random", 0.5, 1),
        ("tokenselect", "TokenSelect", 0.5, 0),
    ]
    settings = tuple(
        Setting(*name, int(mask.sum()), name[0] != "tokenselect")
        for name, mask in zip(named, masks, strict=True)
    )
    s = len(settings)
    surprisal = np.tile(np.array([1.0, 2.0, 3.0, 4.0], np.float32), (s, 1))
    surprisal[1, 1:] -= 0.5  # better than the full cache
    surprisal[2, 1:] += [1.0, 2.0, 6.0]
    surprisal[3, 1:] += 1.0
    surprisal[4, 1:] += 3.0
    kl = np.zeros((s, M), np.float32)
    kl[1:, 1:] = np.array([[0.1], [1.0], [2.0], [4.0], [0.5]]) * np.array([0.5, 1.0, 1.5])
    top_ids = np.tile(np.arange(3), (s, M, 1)).astype(np.int64)
    top_ids[2, 2] = [2, 1, 0]
    top_logprobs = np.tile(np.log(np.array([0.6, 0.3, 0.1], np.float32)), (s, M, 1))
    mass = np.array([1, 0.9, 0.5, 0.4, 0.6, np.nan], np.float32)
    return Sweep(
        spec=SweepSpec("some <b>model</b>", "float32", "a device", n, M, n_answer, L, G, 4),
        context=TEXT * repeat,
        continuation=" on the atlas",
        context_tokens=CONTEXT * repeat,
        continuation_tokens=CONTINUATION,
        continuation_ids=np.array([2, 0, 1, 2]),
        context_encoding=context_encoding(repeat),
        continuation_encoding=encoding(CONTINUATION, range(M)),
        settings=settings,
        surprisal=surprisal,
        kl=kl,
        top_ids=top_ids,
        top_logprobs=top_logprobs,
        mass=mass,
        kept_bits=np.stack([np.packbits(mask) for mask in masks]),
        future=np.broadcast_to(np.arange(n, 0, -1, np.float32), (L, G, n)),
        names={0: " a", 1: " b\n", 2: "<i>"},
        skipped={"SnapKV at 0.1": "It always keeps 64 tokens."},
        seconds={"prefill": 0.1, "score": 0.01, "continuation": 0.5},
    )
