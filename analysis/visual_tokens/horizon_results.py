"""From which layer on a picture is no longer needed, for one question or many. Plain numpy, no model, no plotting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from analysis.units import Unit, table_in
from analysis.visual_tokens.intervals import paired_difference

if TYPE_CHECKING:
    import pandas as pd

LEAST = 0.05
"""Change of an answer's log-probability, in nats, that counts."""


def first_unneeded(change: np.ndarray, least: float) -> int:
    """First layer from which on hiding changes an answer by less than this.

    Parameters
    ----------
    change : numpy.ndarray
        (L + 1,), nats: entry l if the tokens go before layer l; the last, where none goes, is 0.
    least : float
        Change, up or down, that counts.

    Returns
    -------
    int
        A layer; L if the last one still needs the tokens; 0 if none ever did.
    """
    matters = np.flatnonzero(np.abs(change) >= least)
    return int(matters[-1]) + 1 if len(matters) else 0


@dataclass(frozen=True, eq=False)
class HorizonResult:
    """What an answer loses when the picture, or a window of it, goes before a layer.

    It uses the right answer: a ranking by it is an oracle, never a method.

    Parameters
    ----------
    model, question, answer : str
    n_layers : int
        L of the language model.
    answer_logp : numpy.ndarray
        (L + 1,) of float64, nats: of the answer if all visual tokens go before layer l; entry L: none goes.
    answered : numpy.ndarray
        (L + 1,) of bool: every token of the answer is the likeliest one.
    least : float
        Change in nats that counts.
    window_of : numpy.ndarray
        (N,) of int64: window that each token with a place on the picture lies in.
    layers : tuple of int
        Layers before which windows were tried.
    alone : numpy.ndarray
        (layers, windows) of float64: probability of the answer's first token if only that window stays, minus that if
        nothing does (the information of the paper).
    without : numpy.ndarray
        (layers, windows) of float64: the same probability if only that window goes, minus that with the whole picture.
    tokens : tuple of int
        Visual tokens that went by themselves, such as sinks; none by default.
    tokens_logp : numpy.ndarray
        (1, L + 1) of float64, nats: of the answer if only they go before layer l; (0, L + 1) where there are none.
    random_logp : numpy.ndarray
        (draws, L + 1) of float64, nats: the same of as many random visual tokens that are not among them.
    """

    model: str
    question: str
    answer: str
    n_layers: int
    answer_logp: np.ndarray
    answered: np.ndarray
    least: float
    window_of: np.ndarray
    layers: tuple[int, ...]
    alone: np.ndarray
    without: np.ndarray
    tokens: tuple[int, ...] = ()
    tokens_logp: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    random_logp: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def change(self) -> np.ndarray:
        """(L + 1,) of float64, nats: of the answer's log-probability, against the whole picture."""
        return np.asarray(self.answer_logp - self.answer_logp[-1])

    @property
    def horizon(self) -> int:
        """First layer from which on the picture may go; L if the last layer still needs it, 0 if none ever did."""
        return first_unneeded(self.change, self.least)

    def on_picture(self, layer: int, which: str = "alone") -> np.ndarray:
        """Value of each token's window before a layer, (N,).

        Parameters
        ----------
        layer : int
            One of ``layers``.
        which : {"alone", "without"}
        """
        return np.asarray(getattr(self, which)[self.layers.index(layer)][self.window_of])

    def oracle(self, layer: int, kept: int) -> np.ndarray:
        """Tokens that someone who knows the answer would keep from a layer on, bool, (N,).

        Parameters
        ----------
        layer : int
            One of ``layers``.
        kept : int
            Tokens of the windows with the most information; of equal ones the earlier.
        """
        order = (-self.on_picture(layer)).argsort(kind="stable")
        found = np.zeros(len(self.window_of), bool)
        found[order[:kept]] = True
        return found

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per layer before which the whole picture goes; the last row keeps it."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "layer": np.arange(self.n_layers + 1),
                "answer_logp": self.answer_logp,
                "change": self.change,
                "answered": self.answered,
            }
        )
        if self.tokens:
            frame["change_tokens"] = self.change_tokens
            for name, how in (("", np.mean), ("_low", np.min), ("_high", np.max)):
                frame[f"change_random{name}"] = how(self.random_logp - self.answer_logp[-1], axis=0)
        information = [name for name in map(str, frame) if name.startswith(("answer_logp", "change"))]
        return frame if unit == "nats" else table_in(frame, information, unit)

    @property
    def change_tokens(self) -> np.ndarray:
        """(L + 1,) of float64, nats: as :attr:`change`, if only ``tokens`` go."""
        return np.asarray(self.tokens_logp[0] - self.answer_logp[-1])

    def windows(self) -> pd.DataFrame:
        """One row per layer and window: tokens in it, its information alone, and what goes without it."""
        import pandas as pd

        n_layers, n = self.alone.shape
        return pd.DataFrame(
            {
                "layer": np.repeat(self.layers, n),
                "window": np.tile(np.arange(n), n_layers),
                "tokens": np.tile(np.bincount(self.window_of, minlength=n), n_layers),
                "alone": self.alone.ravel(),
                "without": self.without.ravel(),
            }
        )


@dataclass(frozen=True, eq=False)
class SceneHorizon:
    """What many answers lose when the picture goes before each layer.

    Parameters
    ----------
    model : str
    picture : numpy.ndarray
        (Q,) of int64: seed of the scene of each question.
    kind : numpy.ndarray
        (Q,) of str.
    answer_logp : numpy.ndarray
        (L + 1, Q) of float64, nats: of the right answer if the picture goes before layer l; the last row keeps it.
    right : numpy.ndarray
        (L + 1, Q) of bool: answered rightly.
    least : float
        Mean change in nats that counts.
    """

    model: str
    picture: np.ndarray
    kind: np.ndarray
    answer_logp: np.ndarray
    right: np.ndarray
    least: float

    def horizon(self, kind: str | None = None) -> int:
        """First layer from which on the mean answer of a kind, or of all, changes by less than ``least``."""
        chosen = self._chosen(kind)
        change = (self.answer_logp - self.answer_logp[-1])[:, chosen].mean(1)
        return first_unneeded(change, self.least)

    def to_frame(self) -> pd.DataFrame:
        """One row per kind ("all" last) and layer: share right and mean change in nats, bounded by a bootstrap over pictures."""
        import pandas as pd

        rows = []
        for kind in (*np.unique(self.kind).tolist(), None):
            chosen = self._chosen(kind)
            picture, nothing = self.picture[chosen], np.zeros(int(chosen.sum()))
            for layer in range(len(self.right)):
                right = paired_difference(nothing, self.right[layer][chosen], picture)
                change = paired_difference(
                    self.answer_logp[-1][chosen], self.answer_logp[layer][chosen], picture
                )
                rows.append(
                    {
                        "kind": kind or "all",
                        "questions": int(chosen.sum()),
                        "horizon": self.horizon(kind),
                        "layer": layer,
                        "right": right.value,
                        "right_low": right.low,
                        "right_high": right.high,
                        "change": change.value,
                        "change_low": change.low,
                        "change_high": change.high,
                    }
                )
        return pd.DataFrame(rows)

    def _chosen(self, kind: str | None) -> np.ndarray:
        return np.ones(len(self.kind), bool) if kind is None else np.asarray(self.kind == kind)
