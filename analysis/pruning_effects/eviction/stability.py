"""Rank stability: whether a small change of the context makes a method keep other tokens, and its cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from analysis.errors import AnalysisError
from analysis.models.body import hooks
from analysis.progress import Progress, part, silent
from analysis.pruning_effects.eviction.context_run import ContextRun, read_context
from analysis.pruning_effects.eviction.planned import Planned, plan_settings
from analysis.pruning_effects.eviction.sweep import evaluate
from analysis.pruning_effects.eviction.texts import encode_texts

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.models.tokenization import Bos
    from analysis.pruning_effects.eviction.policies import Policy

_MOST_RANKED = 1024
"""Tokens whose ranks are compared; of a longer context an even selection."""


def kendall_tau(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Kendall's tau-b between rows, shape (..., n) twice to (...).

    1 for the same order, -1 for the reverse; ties count as in tau-b. NaN where one row is all ties.
    """
    out = np.empty(x.shape[:-1])
    for place in np.ndindex(*out.shape):
        a = np.sign(x[place][:, None] - x[place][None, :])
        b = np.sign(y[place][:, None] - y[place][None, :])
        untied = np.sqrt(float((a != 0).sum()) * float((b != 0).sum()))
        out[place] = float((a * b).sum()) / untied if untied else np.nan
    return out


@contextmanager
def noisy_embeddings(model: LanguageModel, relative: float, seed: int) -> Iterator[None]:
    """Add to every input embedding a random vector of ``relative`` times its length."""
    generator = torch.Generator().manual_seed(seed)

    def add(_module: Any, _args: Any, output: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(output.shape, generator=generator).to(output.device, output.dtype)
        length = torch.linalg.vector_norm(output, dim=-1, keepdim=True)
        return output + relative * length * torch.nn.functional.normalize(noise, dim=-1)

    with hooks() as handles:
        handles.append(model.model.get_input_embeddings().register_forward_hook(add))
        yield


def rank_stability(
    model: LanguageModel,
    context: str,
    continuation: str,
    policies: Sequence[str | Policy] = ("streaming", "knorm", "h2o", "snapkv", "expected"),
    kept: float = 0.3,
    *,
    noises: Sequence[float] = (0.01, 0.03, 0.1),
    seeds: int = 2,
    bos: Bos = "auto",
    parse_special: bool = True,
    on_progress: Progress | None = None,
) -> pd.DataFrame:
    """Disturb the context's embeddings a little and see which methods change their mind.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`.
    context, continuation : str
        As for :func:`analysis.sweep_eviction`. Only the context is disturbed.
    policies : sequence of str or Policy
        Methods.
    kept : float
        Share kept.
    noises : sequence of float
        Length of the noise against the length of each embedding.
    seeds : int
        Draws of the noise per length.
    bos, parse_special
        As for :func:`analysis.sweep_eviction`.
    on_progress : callable, optional
        ``on_progress(share, what)``.

    Returns
    -------
    pandas.DataFrame
        One row per method, noise and seed: ``tau`` (Kendall's tau-b between the scores with and without noise, mean over
        layers and KV heads), ``preserved`` (share of the kept tokens that stay kept), ``damage_full`` and ``damage_pruned``
        (change in NLL per token that the noise causes with the full and with the pruned cache, nats).

    Raises
    ------
    AnalysisError
        As the sweep does, and if no method can be run.
    """
    draws = [(0.0, 0)] + [(noise, seed) for noise in noises for seed in range(seeds)]
    clean: ContextRun | None = None
    clean_nll = np.empty(0)
    rows: list[dict[str, object]] = []
    for number, (noise, seed) in enumerate(draws):
        report = part(on_progress or silent, number, len(draws), name=f"noise {noise:g}")
        with model.held("while adding noise"):
            texts = encode_texts(model, context, continuation, bos=bos, parse_special=parse_special)
            plan = plan_settings(model, texts.context, policies, [kept])
            if len(plan.settings) < 2:
                raise AnalysisError(
                    "None of the methods can be run.", "; ".join(plan.skipped.values()) or "Choose a method."
                )
            with noisy_embeddings(model, noise, seed):
                run = read_context(model, texts.context.ids, plan, None, report=report)
            nll = evaluate(run, texts, top_k=1, report=report).to_frame()["nll"].to_numpy()
        if clean is None:
            clean, clean_nll = run, nll
            continue
        rows += [
            {
                **_ranks(clean, run, planned),
                "noise": noise,
                "seed": seed,
                "damage_full": float(nll[0] - clean_nll[0]),
                "damage_pruned": float(nll[index] - clean_nll[index]),
            }
            for index, planned in enumerate(plan.settings)
            if index
        ]
    return pd.DataFrame(rows)


def _ranks(clean: ContextRun, noisy: ContextRun, planned: Planned) -> dict[str, object]:
    """How alike two runs rank the tokens and choose among them."""
    before = clean.scores[planned.method].double().numpy()
    after = noisy.scores[planned.method].double().numpy()
    n = before.shape[-1]
    some = np.unique(np.linspace(0, n - 1, min(n, _MOST_RANKED)).astype(int))
    largest = np.finfo(float).max
    tau = kendall_tau(*(np.nan_to_num(x[..., some], posinf=largest) for x in (before, after)))
    kept, still = clean.kept_by(planned), noisy.kept_by(planned)
    return {
        "policy": planned.method.name,
        "label": planned.method.label,
        "kept": planned.kept,
        "tau": float(np.nanmean(tau)) if np.isfinite(tau).any() else float("nan"),
        "preserved": float((kept & still).sum() / kept.sum()),
    }
