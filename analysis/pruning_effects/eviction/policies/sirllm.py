"""SirLLM: tokens that surprised the model when it read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.forward.vocabulary_head import read_rows
from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import Policy
from analysis.pruning_effects.eviction.policies.controls import Slider, TextChoice
from analysis.pruning_effects.eviction.rounds import round_starts, rounds_since
from analysis.ties import keep_top

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView
    from analysis.kv_cache.prefill import Prefix
    from analysis.models.anatomy import Head
    from analysis.models.tokenization import TokenizedText


@dataclass(frozen=True)
class SirLLM(Policy):
    """The first tokens and the most surprising ones, the same for all layers and heads.

    Token t of round j of R counts ``decay^(R - j)`` times its surprisal, so what was said long ago fades. Older
    tokens never change places among themselves, so one eviction after the last round keeps those that
    evictions before every round would have left, as long as the scores are the same.
    """

    n_sink: int = 4
    decay: float = 1.0
    """Decay ratio: what all scores are multiplied by when a new round begins, 0 to 1; 1 forgets nothing."""
    round_mark: str = ""
    """What stands at the beginning of a round, see :func:`analysis.pruning_effects.eviction.rounds.round_starts`; "" for one round."""
    starts: tuple[int, ...] = ()
    """Tokens at which rounds 2, 3, ... begin; found in the context where there is a mark."""

    controls = (
        TextChoice(
            "rounds",
            "round_mark",
            "SirLLM: a round begins",
            "SirLLM lets what was said in earlier rounds of a conversation fade.",
            options=(
                ("the whole context is one", ""),
                ("after a blank line", "\n\n"),
                ("at USER:", "USER:"),
                ("at <|im_start|>user", "<|im_start|>user"),
                ("at other words", None),
            ),
            words_key="round_mark",
            words_label="Words at which a round begins, as they stand in the context",
            placeholder="Human:",
        ),
        Slider(
            "decay",
            "decay",
            "Decay of SirLLM between rounds",
            "Every new round multiplies the scores of those before by this. Published: 1, 0.9 and 0.7 by task. "
            "1: nothing fades.",
            start=0.9,
            step=0.05,
            said="SirLLM fades by {:g} a round",
            needs="rounds",
        ),
    )
    name = "sirllm"
    label = "SirLLM"
    source = (
        f"{cited('sirllm')}, as meant: surprisal -ln p(token | those before) when it was read, 4 first tokens, the "
        "newest where these two overlap. The first token of a round counts as the most surprising of it, as in its code. Scores are "
        "multiplied by the decay ratio at every new round (published: 1, 0.9 and 0.7 by task; here 1 until rounds are named). Keys keep "
        "their original positions, where the published one counts within the cache. All rounds are read with the full cache and evicted "
        "once, after the last; the published one reads each with what is left of those before."
    )

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1:
            raise AnalysisError(
                f"A decay ratio of {self.decay:g} is not possible.",
                "Choose one from 0 to 1; 1 forgets nothing.",
            )
        if self.decay < 1 and not (self.round_mark or self.starts):
            raise AnalysisError(
                "A decay between rounds needs rounds.",
                "Say what begins one, for example round_mark='<|im_start|>user', or leave the decay at 1.",
            )

    def for_context(self, text: str, tokens: TokenizedText) -> Policy:
        """The method with the rounds of a context, where it has a mark for them."""
        if not self.round_mark:
            return self
        return replace(self, starts=round_starts(text, tokens.start, tokens.end, self.round_mark))

    def remark(self, n: int, kept: float, n_layers: int) -> str:
        """How many rounds there are, where a mark was given."""
        if self.round_mark and not self.starts:
            return "The mark of a round begins no second one in this context: it is one round, and nothing fades."
        if self.starts:
            return f"{len(self.starts) + 1} rounds; each new one multiplies the scores of those before by {self.decay:g}."
        return ""

    def protected(self, n: int) -> int:
        """The first tokens."""
        return min(self.n_sink, n)

    def score(self, view: LayerView) -> Tensor:
        """Nothing of a single layer counts."""
        return torch.zeros(1, view.n_tokens)

    def score_context(self, prefix: Prefix, head: Head, on_rows: Callable[[int], None]) -> Tensor:
        """Surprisal of every token, faded."""
        assert prefix.final_states is not None
        rows = read_rows(head, prefix.final_states[:-1], prefix.ids[1:], 1, on_rows)
        surprisal = torch.from_numpy(rows.surprisal)
        scores = torch.cat([surprisal.max()[None], surprisal])
        for first, after in self.rounds(len(scores)):
            scores[first] = scores[first + 1 : after].max() if after > first + 1 else scores[first]
        return self.faded(scores)

    def rounds(self, n: int) -> list[tuple[int, int]]:
        """First token of each round, and one past its last."""
        firsts = [0, *(start for start in self.starts if 0 < start < n)]
        return list(zip(firsts, [*firsts[1:], n], strict=True))

    def faded(self, scores: Tensor) -> Tensor:
        """Scores (n,), those of earlier rounds multiplied by the decay."""
        return scores * torch.from_numpy(np.power(self.decay, rounds_since(len(scores), self.starts))).float()

    def keep(self, scores: Tensor, budgets: np.ndarray) -> Tensor:
        """First tokens, the highest scores, then the newest until the budget is spent."""
        kept = torch.zeros(scores.shape, dtype=torch.bool)
        for layer, budget in enumerate(budgets):
            kept[layer] = keep_top(scores[layer, 0], max(0, int(budget) - self.n_sink))
            kept[layer, :, : self.n_sink] = True
            left = int(budget) - int(kept[layer, 0].sum())
            newest = (~kept[layer, 0]).nonzero()[:, 0]
            kept[layer, :, newest[len(newest) - left :]] = True
        return kept
