"""Entropy of what a model writes against how often it is right, over a list of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.papers.citations import cited
from analysis.results.tokens import printable
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd

SOURCE = f"DiffAdapt, {cited('diffadapt')}: mean entropy of a written answer against the share of right ones."
KNOWN = (
    "Abstract only. It reports a U: high entropy where a model is mostly right, least in between, high again where it is "
    "mostly wrong, and 22 to 25 % less in the middle than where it is right. Its bins, prompts and models' settings are "
    "not known here; the thirds are this project's. One prompt, or one bin, shows no U."
)
EDGES = (1 / 3, 2 / 3)
"""Shares of right answers that part hard from medium and medium from easy; a share on the edge is medium."""
BINS = ("hard", "medium", "easy")


@dataclass(frozen=True)
class Difficulty:
    """One entry per prompt."""

    prompts: tuple[str, ...]
    entropy: np.ndarray
    """float64, (P,), nats: mean over samples of the mean over the tokens each wrote; NaN where none wrote a token."""
    share_right: np.ndarray
    """float64, (P,), from 0 to 1."""
    n_samples: np.ndarray
    """int64, (P,)."""
    source: str = SOURCE
    known: str = KNOWN

    @property
    def bins(self) -> tuple[str, ...]:
        """Bin of every prompt by its share of right answers, see :data:`EDGES`."""
        place = (self.share_right >= EDGES[0]).astype(int) + (self.share_right > EDGES[1])
        return tuple(BINS[n] for n in place)

    def mean_entropy(self, name: str) -> float:
        """nats: mean over the prompts of a bin; NaN if it has none."""
        inside = self.entropy[np.array([one == name for one in self.bins]) & ~np.isnan(self.entropy)]
        return float(inside.mean()) if len(inside) else float("nan")

    @property
    def is_u(self) -> bool | None:
        """Whether the middle bin has the least mean entropy; None while a bin is empty."""
        hard, medium, easy = (self.mean_entropy(name) for name in BINS)
        return None if np.isnan([hard, medium, easy]).any() else medium < min(hard, easy)

    @property
    def drop(self) -> float:
        """Share by which the middle bin's mean entropy is below that of the easy one; NaN while one is empty."""
        easy = self.mean_entropy("easy")
        return 1 - self.mean_entropy("medium") / easy if easy else float("nan")

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per prompt."""
        import pandas as pd

        return pd.DataFrame(
            {
                "prompt": [printable(prompt) for prompt in self.prompts],
                f"mean_entropy_{unit}": from_nats(self.entropy, unit),
                "share_right": self.share_right,
                "samples": self.n_samples,
                "bin": self.bins,
            }
        )


def difficulty(
    prompts: Sequence[str], entropies: Sequence[Sequence[np.ndarray]], right: Sequence[Sequence[bool]]
) -> Difficulty:
    """Mean entropy and share of right answers per prompt.

    Parameters
    ----------
    prompts : sequence of str
        P names.
    entropies : sequence of sequence of array
        For every prompt, for every sample: nats, of the tokens it wrote, the stop token with them; NaN is left out.
    right : sequence of sequence of bool
        For every prompt, for every sample: whether it is right.

    Raises
    ------
    AnalysisError
        If there are no prompts, or one has no samples.

    Notes
    -----
    A mean of samples' means: a long sample counts as much as a short one. The mean over all tokens is another number.
    """
    if not len(prompts) or not all(len(one) for one in right):
        raise AnalysisError("There are no answers to compare.", "Write samples of one prompt at least.")
    if [len(one) for one in entropies] != [len(one) for one in right] or len(prompts) != len(right):
        raise ValueError("every sample has entropies and a mark")
    means = [[_mean(sample) for sample in one] for one in entropies]
    return Difficulty(
        tuple(prompts),
        np.array([_mean(np.array(one)) for one in means]),
        np.array([np.mean(np.asarray(one, float)) for one in right]),
        np.array([len(one) for one in right], np.int64),
    )


def _mean(values: np.ndarray) -> float:
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else float("nan")
