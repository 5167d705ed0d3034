"""Rules from papers along what was written: the same rules, their tokens counted from the first written one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.progress import Progress, silent
from analysis.writing.prompt_shown import thinking_end
from analysis.writing.rules import overlays
from analysis.writing.rules.deep_thinking import DeepThinking, deep_thinking
from analysis.writing.rules.overlays import Overlay
from analysis.writing.strips import written_tokens

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.writing.results import Writing

SEGMENTS = "segments"
RULES = (*overlays.RULES, SEGMENTS)
"""Rules that follow from what a writing holds."""


def written_overlay(rule: str, w: Writing, branch: int | None = None) -> Overlay:
    """Lay one rule over the written tokens of a branch's path.

    Parameters
    ----------
    rule : str
        A name of :data:`RULES`.
    w : Writing
        What was written.
    branch : int, optional
        Whose path; the newest by default.

    Returns
    -------
    Overlay
        Of the tokens behind the prompt, the first of which is token 0; the rule sees nothing of the prompt.

    Raises
    ------
    AnalysisError
        If there is no such rule, or nothing was written.
    """
    n_prompt = len(w.prompt.ids)
    own = written_tokens(w.tokens(branch), n_prompt)
    if rule == SEGMENTS and len(own):
        return overlays.segments_overlay(w.text(branch), own)
    end = thinking_end(w, w.require(branch))
    return overlays.overlay(rule, own, thinking_end=None if end is None else end - n_prompt)


def deep_thinking_written(
    model: LanguageModel, w: Writing, branch: int | None = None, progress: Progress = silent
) -> DeepThinking:
    """Settling layers of the written tokens; the whole path is read once more.

    Parameters
    ----------
    model : LanguageModel
        The one that wrote it.
    w, branch
        As for :func:`written_overlay`.
    progress : callable, optional
        Raising from it stops the work.

    Raises
    ------
    AnalysisError
        If another model wrote it, nothing was written, or the path is longer than the context.
    """
    from analysis.writing.beginning import existing
    from analysis.writing.layer_divergence import layer_divergence

    branch = existing(model, w, branch)
    divergence = layer_divergence(model, w.path(branch), progress)
    return deep_thinking(divergence[:, len(w.prompt.ids) :])
