"""Routing to the large model: share of tokens routed, against the loss and against the positions that really differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from analysis.comparison.rules import ead, r2r
from analysis.comparison.rules.laid import Curve, Laid, Line, Number, Quantity, known, rows_of
from analysis.comparison.rules.origin import Origin
from analysis.errors import AnalysisError
from analysis.units import from_nats

if TYPE_CHECKING:
    import pandas as pd

    from analysis.comparison.results import Comparison

Router = Literal[
    "EAD", "entropy", "entropy, momentum", "entropy, window", "LogU", "LogU, momentum", "LogU, window"
]
"""What decides: the mean entropy of the last tokens, or one of the routers that R2R is compared with."""
ROUTERS: tuple[Router, ...] = get_args(Router)
SIGNALS = {"EAD": "mean entropy of A", "entropy": "entropy of A", "LogU": "LogU of A"}
"""What is held against the threshold, by the router's first word."""
THRESHOLDS = 60
"""Thresholds that a curve is made of, at most."""


@dataclass(frozen=True, eq=False)
class RoutingCurve:
    """What a router gives at every threshold, over the tokens with context on both sides."""

    router: Router
    signal: np.ndarray
    """float64, (n,), nats: what is held against the threshold; NaN without context."""
    thresholds: np.ndarray
    """float64, (K,), falling, nats."""
    share: np.ndarray
    """float64, (K,), in [0, 1]: of the tokens that the large model would write."""
    loss: np.ndarray
    """float64, (K,), nats: mean surprisal, each token's by the model that would write it."""
    recall: np.ndarray
    """float64, (K,): of the tokens whose first choices differ, the share that is routed; NaN where none differs."""
    threshold: float
    """nats: the one that is chosen."""
    routed: np.ndarray
    """bool, (n,): tokens that the large model would write at that threshold."""
    different: np.ndarray
    """bool, (n,): tokens whose first choices differ."""
    change: np.ndarray
    """float64, (n,), nats: surprisal of the large model less that of the small one; NaN without context."""
    loss_small: float
    """nats: mean surprisal of the small model."""
    origin: Origin

    @property
    def n_compared(self) -> int:
        """Tokens with context on both sides."""
        return int((~np.isnan(self.change)).sum())

    @property
    def chosen(self) -> tuple[float, float, float]:
        """Share, loss in nats, and recall at the chosen threshold."""
        return _rates(self.routed, self.change, self.different, self.loss_small)

    @property
    def best(self) -> Line:
        """Share and loss if the tokens that gain most were routed: no router has a lower loss at that share."""
        gain = np.sort(self.change[~np.isnan(self.change)])
        n = len(gain)
        losses = self.loss_small + np.concatenate([[0.0], np.cumsum(gain)]) / n
        return Line("tokens that gain most", np.arange(n + 1) / n, losses)

    def against_loss(self) -> Curve:
        """Loss over share, with a random choice and the best one beside it."""
        ends = self.loss_small, self.loss_small + float(np.nanmean(self.change))
        lines = (
            Line(self.router, self.share, self.loss),
            Line("random tokens", np.array([0.0, 1.0]), np.array(ends)),
            self.best,
        )
        share, loss, _ = self.chosen
        here = Line("threshold", np.array([share]), np.array([loss]))
        return Curve("share of tokens routed", "mean surprisal", lines, (here,), y_power=1)

    def against_recall(self) -> Curve:
        """Recall of the tokens that differ over share, with a random choice and the best one beside it."""
        n_different = int(self.different.sum())
        if not n_different:
            raise AnalysisError(
                "First choices are the same everywhere.", "Choose sides that differ, or a longer text."
            )
        lines = (
            Line(self.router, self.share, self.recall),
            Line("random tokens", np.array([0.0, 1.0]), np.array([0.0, 1.0])),
            Line(
                "best choice", np.array([0.0, n_different / self.n_compared, 1.0]), np.array([0.0, 1.0, 1.0])
            ),
        )
        share, _, recall = self.chosen
        here = Line("threshold", np.array([share]), np.array([recall]))
        return Curve("share of tokens routed", "share of differing tokens found", lines, (here,))

    def against_threshold(self) -> Curve:
        """Share routed, and share of the differing tokens found, over the threshold."""
        lines = [Line("routed", self.thresholds, self.share)]
        if self.different.any():
            lines.append(Line("differing tokens found", self.thresholds, self.recall))
        at = np.array(self.chosen)[[0, 2][: len(lines)]]
        here = Line("threshold", np.full(len(at), self.threshold), at)
        return Curve("threshold", "share of tokens", tuple(lines), (here,), x_power=1)

    @property
    def laid(self) -> Laid:
        """The chosen threshold laid over the text."""
        share, loss, recall = self.chosen
        numbers = (
            Number("share", "share routed", share),
            Number("loss", "mean surprisal", loss, 1),
            Number("loss_small", "of A alone", self.loss_small, 1),
            Number("loss_large", "of B alone", self.loss_small + float(np.nanmean(self.change)), 1),
            Number("different", "first choices differ", float(self.different.sum() / self.n_compared)),
            Number("recall", "of these routed", recall),
        )
        curves = [self.against_loss(), self.against_threshold()]
        if self.different.any():
            curves.append(self.against_recall())
        if self.router != "EAD":
            curves = curves[1:] + curves[:1]
        quantities = (
            Quantity("signal", SIGNALS[self.router.partition(", ")[0]], self.signal, 1),
            Quantity("surprisal_change", "surprisal change", self.change, 1),
            Quantity("different", "first choices differ", self.different.astype(np.float64)),
        )
        return Laid(
            self.origin,
            quantities,
            self.routed,
            "written by B",
            numbers,
            limit=self.threshold,
            curves=tuple(curves),
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per threshold, in nats."""
        import pandas as pd

        columns = {"share": self.share, "mean_surprisal_nats": self.loss, "recall_of_different": self.recall}
        return pd.DataFrame({"threshold_nats": self.thresholds, **columns})


def routing_curve(
    c: Comparison,
    router: Router = "EAD",
    threshold: float | None = None,
    *,
    window: int = ead.WINDOW,
    d_min: int = ead.DWELL,
    top_logits: np.ndarray | None = None,
) -> RoutingCurve:
    """Route tokens from A, the small model, to B, the large one, at every threshold.

    Parameters
    ----------
    c : Comparison
        Of a small and a large model on one text.
    router : str
        One of :data:`ROUTERS`.
    threshold : float, optional
        The chosen one; bits for "EAD", nats for the others. The rule's own by default.
    window, d_min : int
        Of EAD: tokens in the mean, and tokens that a model writes at least.
    top_logits : numpy.ndarray, shape (n, 10), optional
        A's largest logits for every pair, which LogU needs; see :func:`~.r2r.top_logits`.

    Returns
    -------
    RoutingCurve

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one, there is no such router, or LogU is asked for without logits.
    """
    if router not in ROUTERS:
        raise AnalysisError(f"There is no router {router!r}.", f"Choose one of: {', '.join(ROUTERS)}.")
    if window < 1 or d_min < 1:
        raise AnalysisError("Window and d_min are counts of at least 1 token.", "Choose 1 or more.")
    rows = rows_of(c)
    there = rows.has_context
    name, _, switching = router.partition(", ")
    if name == "LogU":
        if top_logits is None:
            raise AnalysisError("LogU needs A's largest logits.", "Load A again, or choose entropy.")
        signal = known(r2r.log_u(top_logits), there)
        if np.isnan(signal[there]).all():
            raise AnalysisError(
                "LogU is not defined here: A's largest logits are not above 0.", "Choose entropy."
            )
        there = there & ~np.isnan(signal)
    else:
        signal = known(rows.entropy_a, there)
    if name == "EAD":
        signal = ead.recent_mean(signal, window)
    change = known(rows.surprisal_change, there)
    different = there & (rows.first_differs == 1)
    loss_small = float(rows.surprisal_a[there].mean(dtype=np.float64))

    def choose(level: float) -> np.ndarray:
        if name == "EAD":
            return ead.routed(signal, level, d_min)
        return r2r.routed(signal, level, switching or "immediate") & there  # type: ignore[arg-type]

    levels = _levels(signal[there])
    rates = np.array([_rates(choose(float(level)), change, different, loss_small) for level in levels])
    if threshold is None:
        chosen = _own(name)
    else:
        chosen = threshold / from_nats(1.0, "bits") if name == "EAD" else threshold
    return RoutingCurve(
        router=router,
        signal=signal,
        thresholds=levels,
        share=rates[:, 0],
        loss=rates[:, 1],
        recall=rates[:, 2],
        threshold=chosen,
        routed=choose(chosen),
        different=different,
        change=change,
        loss_small=loss_small,
        origin={"EAD": ead.ORIGIN, "LogU": r2r.OF_LOGU}.get(name, r2r.ORIGIN),
    )


def _own(name: str) -> float:
    """A router's own threshold, nats."""
    own = {"EAD": ead.THRESHOLD / from_nats(1.0, "bits"), "entropy": r2r.ENTROPY, "LogU": r2r.LOGU}
    return float(own[name])


def _levels(signal: np.ndarray) -> np.ndarray:
    """Thresholds from above all values to below them, with about as many tokens between any two."""
    values = np.unique(signal)
    between = (values[1:] + values[:-1]) / 2
    if len(between) > THRESHOLDS - 2:
        between = np.unique(np.quantile(between, np.linspace(0, 1, THRESHOLDS - 2)))
    return np.concatenate([[values[-1] + 1e-6], between[::-1], [min(0.0, values[0] - 1e-6)]])


def _rates(
    routed: np.ndarray, change: np.ndarray, different: np.ndarray, loss_small: float
) -> tuple[float, float, float]:
    """Share routed, loss in nats and recall of the differing tokens."""
    there = ~np.isnan(change)
    n = int(there.sum())
    loss = loss_small + float(change[there & routed].sum()) / n
    n_different = int(different.sum())
    recall = float((different & routed).sum()) / n_different if n_different else float("nan")
    return float((there & routed).sum()) / n, loss, recall
