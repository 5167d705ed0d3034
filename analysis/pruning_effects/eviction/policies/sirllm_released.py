"""SirLLM with the score that its released code computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.forward.vocabulary_head import read_rows
from analysis.pruning_effects.eviction.policies.sirllm import SirLLM

if TYPE_CHECKING:
    from analysis.kv_cache.prefill import Prefix
    from analysis.models.anatomy import Head


@dataclass(frozen=True)
class SirLLMReleased(SirLLM):
    """The same with the score that the released code computes."""

    name = "sirllm-released"
    label = "SirLLM, as released"
    source = (
        "The code of SirLLM at commit 4c95578: at token t it takes -ln p(token t-1 again | those up to t-1), the surprisal of a "
        "repetition, where the surprisal of token t is meant. Otherwise as SirLLM here."
    )

    def score_context(self, prefix: Prefix, head: Head, on_rows: Callable[[int], None]) -> Tensor:
        """Surprisal of the token before, if it came again, faded."""
        assert prefix.final_states is not None
        rows = read_rows(head, prefix.final_states, prefix.ids, 1, on_rows)
        of_repetition = torch.from_numpy(rows.surprisal)
        scores = torch.cat([of_repetition[:1], of_repetition[:-1]])
        for first, after in self.rounds(len(scores)):
            scores[first] = of_repetition[first:after].max()
        return self.faded(scores)
