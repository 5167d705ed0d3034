"""What each sampler would keep alone at one written token, from the state that was kept of it."""

from __future__ import annotations

import numpy as np
import torch

from analysis.models.loading import LanguageModel
from analysis.token_entropy.samplers import Kept
from analysis.writing.beginning import existing
from analysis.writing.engine import Outlook
from analysis.writing.paths import owner_of
from analysis.writing.results import Writing
from analysis.writing.sampler_chain import SAMPLERS
from analysis.writing.sampling import kept_alone

TRUNCATING = tuple(name for name in SAMPLERS if name not in ("temperature", "repetition-penalty"))
"""Samplers that leave tokens out."""


def kept_at(model: LanguageModel, w: Writing, branch: int, position: int) -> list[Kept]:
    """What each truncation keeps before a written token, each alone at temperature 1 with its usual setting.

    Parameters
    ----------
    model : LanguageModel
        The one that wrote it: one product with its head, no pass.
    w, branch
        Whose path.
    position : int
        Of the token in the path.

    Raises
    ------
    AnalysisError
        If another model wrote it.
    """
    number = existing(model, w, branch)
    owner, own = owner_of(w, number, position)
    this = w.branches[owner]
    state = torch.from_numpy(np.ascontiguousarray(this.numbers.final_states[own]))[None]
    with model.held("while the samplers are compared"):
        head = model.anatomy.head
        log_probs = Outlook.after(head, state.to(head.weight.device)).log_probs[0]
    return kept_alone(log_probs, [(name, SAMPLERS[name].default) for name in TRUNCATING], int(this.ids[own]))
