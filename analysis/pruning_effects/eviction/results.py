"""What a sweep over evictions says. Plain numpy, no model, no plotting."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.models.tokenization import TokenizedText
from analysis.results.trace import Check

if TYPE_CHECKING:
    import pandas as pd

INFORMATION = ("nll", "delta_nll", "kl", "kl_p95", "answer_logp")
"""Columns of :meth:`Sweep.to_frame` in nats."""


@dataclass(frozen=True)
class SweepSpec:
    """Everything that decides the numbers of a sweep."""

    model: str
    dtype: str
    device: str
    n_context: int
    n_continuation: int
    n_answer: int
    """Tokens at the end of the continuation that are the answer; 0 without one."""
    n_layers: int
    """Layers whose cache is pruned, L: those that have attention."""
    n_kv_heads: int
    head_size: int
    mode: str = "prefill"
    """"prefill": evicted once after the context. "decode": evicted step by step."""
    layer_numbers: tuple[int, ...] = ()
    """Numbers in the model of the layers whose cache is pruned; empty where these are all of them."""
    state_bytes: int = 0
    """Bytes of the recurrent states beside the cache: they have read everything and are kept whole."""

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers in the model of the layers whose cache is pruned."""
        return self.layer_numbers or tuple(range(self.n_layers))

    @property
    def subtitle(self) -> str:
        """One line under a figure."""
        what = "evicted once, after the context" if self.mode == "prefill" else "evicted step by step"
        if self.state_bytes:
            what += f" in {self.n_layers} layers with attention, recurrent states kept"
        return (
            f"{self.model} · {self.dtype} · {self.device} · {self.n_context} tokens of context, "
            f"{self.n_continuation} after it · {what}"
        )


@dataclass(frozen=True)
class Setting:
    """One pruning of the cache."""

    policy: str
    label: str
    kept: float
    """Share asked for."""
    seed: int
    budget: int
    """Context tokens kept, summed over layers and KV heads; step by step, entries of the cache."""
    deletes: bool = True
    """Whether the others are gone. Otherwise everything stays in the cache and only work is saved."""
    computed: float = 1.0
    """Share of the layers' work that was done for the continuation: below 1 if tokens pass layers by."""
    remark: str = ""
    """What a person should know of this method at this share."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """All settings on one context and one continuation; setting 0 is the full cache.

    Entry t of a row speaks about token t of the continuation. Entry 0 was predicted before
    anything was evicted: it is the same for all settings and left out of every mean.
    """

    spec: SweepSpec
    context: str
    continuation: str
    context_tokens: tuple[str, ...]
    """Names, for people; what a token covers stands in the encoding."""
    continuation_tokens: tuple[str, ...]
    continuation_ids: np.ndarray
    """int64, (m,)."""
    context_encoding: TokenizedText
    """Tokens of the context: ids, characters covered, cells."""
    continuation_encoding: TokenizedText
    """Tokens of the continuation, as far as it was read."""
    settings: tuple[Setting, ...]
    surprisal: np.ndarray
    """float32, (S, m), nats."""
    kl: np.ndarray
    """float32, (S, m), nats: KL(full || pruned); 0 for setting 0."""
    top_ids: np.ndarray
    """int64, (S, m, k): the most likely tokens."""
    top_logprobs: np.ndarray
    """float32, (S, m, k), nats."""
    mass: np.ndarray
    """float32, (S,): attention that the continuation pays to kept context tokens under the full cache, as a
    share of what it pays to the context; mean over layers and heads. NaN for methods that delete nothing."""
    kept_bits: np.ndarray
    """uint8: tokens kept, packed; see :meth:`kept`."""
    future: np.ndarray
    """float32, (L, G, n): attention each context token really got from the continuation, mean over queries
    and heads of the group: what an oracle would keep."""
    names: dict[int, str] = field(default_factory=dict)
    """Text of every token in ``top_ids``."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Methods and shares that could not be run, with the reason."""
    seconds: dict[str, float] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    """Rows of the context and first tokens after it against the library's own."""

    def save(self, path: str | Path) -> Path:
        """Write the sweep to one file that :func:`analysis.load_sweep` opens without a model. Returns the path."""
        from analysis.pruning_effects.eviction.sweep_file import save_sweep

        return save_sweep(self, path)

    def kept(self, setting: int) -> np.ndarray:
        """Context tokens that a setting keeps, bool, (L, G, n)."""
        shape = (self.spec.n_layers, self.spec.n_kv_heads, self.spec.n_context)
        return np.unpackbits(self.kept_bits[setting], count=int(np.prod(shape))).astype(bool).reshape(shape)

    def oracle(self, setting: int) -> np.ndarray:
        """What an oracle that saw the continuation would keep on the same budgets, of equals the earlier, bool, (L, G, n)."""
        kept = self.kept(setting)
        ranks = (-self.future).argsort(-1, kind="stable").argsort(-1, kind="stable")
        return np.asarray(ranks < kept.sum(-1, keepdims=True))

    def to_frame(self) -> pd.DataFrame:
        """One row per setting: policy, kept, seed, kv_budget, nll, delta_nll, kl, ... (nats, means over tokens)."""
        after = slice(1, None)
        nll = self.surprisal[:, after].astype(np.float64).mean(1)
        kl = self.kl[:, after].astype(np.float64)
        import pandas as pd

        frame = pd.DataFrame(
            {
                "policy": [s.policy for s in self.settings],
                "label": [s.label for s in self.settings],
                "kept": [s.kept for s in self.settings],
                "seed": [s.seed for s in self.settings],
                "kv_budget": [s.budget for s in self.settings],
                "nll": nll,
                "delta_nll": nll - nll[0],
                "kl": kl.mean(1),
                "kl_p95": np.percentile(kl, 95, axis=1),
                "top1_agreement": (self.top_ids[:, after, 0] == self.top_ids[:1, after, 0]).mean(1),
                "retained_mass": self.mass,
                "computed": [s.computed for s in self.settings],
            }
        )
        if self.spec.n_answer:
            frame["answer_logp"] = -self.surprisal[:, -self.spec.n_answer :].astype(np.float64).sum(1)
        return frame

    def answered(self) -> np.ndarray:
        """Whether every token of the answer was the first choice, bool, (S,): greedy decoding would have said it.

        Raises
        ------
        ValueError
            If the sweep has no answer.
        """
        n = self.spec.n_answer
        if not n:
            raise ValueError("the sweep has no answer: sweep_eviction(..., answer=...)")
        return np.asarray((self.top_ids[:, -n:, 0] == self.continuation_ids[-n:]).all(1))

    def per_token(self, setting: int) -> pd.DataFrame:
        """One row per token of the continuation: what the pruning did to it, nats."""
        import pandas as pd

        return pd.DataFrame(
            {
                "position": self.spec.n_context + np.arange(len(self.continuation_tokens)),
                "token": self.continuation_tokens,
                "surprisal_full": self.surprisal[0],
                "surprisal": self.surprisal[setting],
                "change": self.surprisal[setting] - self.surprisal[0],
                "kl": self.kl[setting],
                "same_first_choice": self.top_ids[setting, :, 0] == self.top_ids[0, :, 0],
            }
        )
