"""Greedy texts under pruned caches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from analysis.errors import AnalysisError
from analysis.kv_cache.evicted_stream import EvictedStream
from analysis.kv_cache.steps import Greedy
from analysis.models.loading import LanguageModel
from analysis.models.stops import stop_ids
from analysis.models.tokenization import Bos
from analysis.progress import Progress, silent
from analysis.pruning_effects.eviction.context_run import READ_SHARE, read_context, setting_of
from analysis.pruning_effects.eviction.planned import plan_settings
from analysis.pruning_effects.eviction.policies import Policy
from analysis.pruning_effects.eviction.results import Setting
from analysis.pruning_effects.eviction.texts import encode_texts

_SETTINGS_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Generations:
    """What a model writes after a context and a question, greedily, under every setting; setting 0 is the full cache."""

    model: str
    settings: tuple[Setting, ...]
    ids: tuple[np.ndarray, ...]
    """int64 per setting: tokens written, up to and with the end-of-text token if there was one."""
    texts: tuple[str, ...]
    skipped: dict[str, str]

    @property
    def first_divergence(self) -> np.ndarray:
        """Number of the first token, from 0, that differs from the full cache's; -1 where none does. int64, (S,)."""
        return np.array([_first_difference(self.ids[0], ids) for ids in self.ids])

    def to_frame(self) -> pd.DataFrame:
        """One row per setting: ``policy``, ``label``, ``kept``, ``seed``, ``text``, ``n_tokens``, ``first_divergence``, ``same``."""
        divergence = self.first_divergence
        return pd.DataFrame(
            {
                "policy": [s.policy for s in self.settings],
                "label": [s.label for s in self.settings],
                "kept": [s.kept for s in self.settings],
                "seed": [s.seed for s in self.settings],
                "text": self.texts,
                "n_tokens": [len(ids) for ids in self.ids],
                "first_divergence": divergence,
                "same": divergence < 0,
            }
        )


def _first_difference(one: np.ndarray, other: np.ndarray) -> int:
    if np.array_equal(one, other):
        return -1
    n = min(len(one), len(other))
    differs = np.flatnonzero(one[:n] != other[:n])
    return int(differs[0]) if len(differs) else n


def generate_greedy(
    model: LanguageModel,
    context: str,
    question: str,
    policies: Sequence[str | Policy],
    kept: Sequence[float],
    *,
    n_new: int = 48,
    seeds: int = 1,
    bos: Bos = "auto",
    parse_special: bool = True,
    on_progress: Progress | None = None,
    on_partial: Callable[[Generations], None] | None = None,
) -> Generations:
    """Let the model write on under every pruning of a context's cache.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`.
    context : str
        Read in full; then its cache is pruned, once.
    question : str
        Read with what is left. At least two tokens.
    policies, kept, seeds, bos, parse_special
        As for :func:`analysis.sweep_eviction`.
    n_new : int, default 48
        Tokens written at most.
    on_progress : callable, optional
        ``on_progress(share, what)``.
    on_partial : callable, optional
        Called with the finished settings after every batch.

    Returns
    -------
    Generations

    Raises
    ------
    AnalysisError
        As the sweep does, and if the texts leave no room in the model's context.
    """
    report = on_progress or silent
    if n_new < 1:
        raise AnalysisError("No tokens are to be written.", "Ask for 1 or more.")
    with model.held("while writing"):
        texts = encode_texts(model, context, question, bos=bos, parse_special=parse_special)
        ids = texts.continuation.ids
        model.require_room("Context, question and new text", len(texts.context) + len(ids) + n_new)
        plan = plan_settings(model, texts.context, policies, kept, seeds=seeds)
        run = read_context(model, texts.context.ids, plan, ids, report=report)
        settings: list[Setting] = []
        written: list[np.ndarray] = []
        for begin in range(0, len(plan.settings), _SETTINGS_AT_ONCE):
            planned = plan.settings[begin : begin + _SETTINGS_AT_ONCE]

            def on_step(n: int, at: int = begin, count: int = len(planned)) -> None:
                share = (at + count * n / n_new) / len(plan.settings)
                report(READ_SHARE + (1 - READ_SHARE) * share, f"token {n} of {n_new}")

            keep = torch.stack([run.kept_by(one) for one in planned])
            special = run.specials(planned, keep, len(ids) + n_new)
            stream = EvictedStream(model, run.prefix, keep, special)
            states = stream.read(ids.expand(len(planned), -1))[:, -1]
            greedy = Greedy(model, stream, states, n_new, stop_ids(model))
            greedy.run(on_step)
            settings += [setting_of(one, keep[i], special.get(i)) for i, one in enumerate(planned)]
            written += [np.array(row, np.int64) for row in greedy.written]
            decoded = tuple(model.tokenizer.decode(row, skip_special_tokens=True) for row in written)
            found = Generations(model.info.name, tuple(settings), tuple(written), decoded, dict(plan.skipped))
            if on_partial is not None:
                on_partial(found)
    report(1.0, "done")
    return found
