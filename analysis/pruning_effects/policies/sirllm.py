"""SirLLM: tokens that surprised the model when it read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.forward.readout import read_rows
from analysis.pruning_effects.policies.base import Policy
from analysis.ties import keep_top

if TYPE_CHECKING:
    from analysis.forward.prefix import LayerReading, Prefix
    from analysis.models.anatomy import Head


@dataclass(frozen=True)
class SirLLM(Policy):
    """The first tokens and the most surprising ones, the same for all layers and heads."""

    n_sink: int = 4

    name = "sirllm"
    label = "SirLLM"
    source = (
        "Yao et al. 2024 (arXiv 2405.12528), as meant: surprisal -ln p(token | those before) when it was read, 4 first tokens, the "
        "newest where these two overlap. The first token counts as the most surprising. Keys keep their original positions, where the "
        "published one counts within the cache; one reading, so no decay between rounds."
    )

    def protected(self, n: int) -> int:
        """The first tokens."""
        return min(self.n_sink, n)

    def score(self, reading: LayerReading, sums: dict[str, Tensor], seed: int) -> Tensor:
        """Nothing of a single layer counts."""
        return torch.zeros(1, reading.key.shape[1])

    def score_context(self, prefix: Prefix, head: Head, on_rows: Callable[[int], None]) -> Tensor:
        """Surprisal of every token."""
        assert prefix.final_states is not None
        rows = read_rows(head, prefix.final_states[:-1], prefix.ids[1:], 1, on_rows)
        return _with_first(torch.from_numpy(rows.surprisal))

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


@dataclass(frozen=True)
class SirLLMAsReleased(SirLLM):
    """The same with the score that the released code computes."""

    name = "sirllm-released"
    label = "SirLLM, as released"
    source = (
        "The code of SirLLM at commit 4c95578: at token t it takes -ln p(token t-1 again | those up to t-1), the surprisal of a "
        "repetition, where the surprisal of token t is meant. Otherwise as SirLLM here."
    )

    def score_context(self, prefix: Prefix, head: Head, on_rows: Callable[[int], None]) -> Tensor:
        """Surprisal of the token before, if it came again."""
        assert prefix.final_states is not None
        rows = read_rows(head, prefix.final_states, prefix.ids, 1, on_rows)
        of_repetition = torch.from_numpy(rows.surprisal)
        return _with_first(of_repetition[:-1], of_repetition.max())


def _with_first(later: Tensor, first: Tensor | None = None) -> Tensor:
    """Scores of tokens 1, 2, ... with the highest one for token 0."""
    return torch.cat([(later.max() if first is None else first)[None], later])
