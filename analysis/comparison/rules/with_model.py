"""Rules that ask for whole distributions, where one loaded model has the vocabulary head of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from analysis.comparison.measured import made_by
from analysis.comparison.pairs import paired_states
from analysis.comparison.rules.registry import lay
from analysis.comparison.rules.whole import whole_of
from analysis.errors import AnalysisError
from analysis.progress import Progress, silent

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison
    from analysis.comparison.rules.laid import Laid
    from analysis.models.loading import LanguageModel


def lay_with_model(
    rule: str, c: Comparison, model: LanguageModel, *, on_progress: Progress | None = None, **constants: float
) -> Laid:
    """Lay a rule over a comparison whose sides differ before the vocabulary head: in the text, the prompt, the inner weights.

    Parameters
    ----------
    rule : str
        A name of :data:`analysis.comparison.rules.registry.RULES` that needs heads.
    c : Comparison
        With the final states of both sides.
    model : LanguageModel
        Whose head made both runs.
    on_progress : callable, optional
        ``on_progress(share, what)``.
    **constants : float
        Other values of the rule's constants.

    Raises
    ------
    AnalysisError
        If another head made one of the runs.
    """
    report, head = on_progress or silent, model.anatomy.head
    for side, run in (("A", c.a), ("B", c.b)):
        if not made_by(head, run):
            raise AnalysisError(
                f"The vocabulary head of {model.info.name} is not the one of side {side}.",
                "In a notebook both models can be open at once: analysis.comparison.sides.opened.",
            )
    with torch.inference_mode():
        pairs = paired_states(c.a, c.b, c.alignment, head, head)
        done = 0

        def on_rows(n: int) -> None:
            nonlocal done
            done += n
            report(min(1.0, done / max(len(pairs), 1)), "both vocabulary heads")

        return lay(rule, c, whole_of(c, pairs, on_rows), **constants)
