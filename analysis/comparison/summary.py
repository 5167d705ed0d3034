"""The few numbers that say how far two sides are apart, with intervals that know that tokens are not independent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.bootstrap import Statistic, interval, resampled
from analysis.units import BIT, Unit, from_nats, unit_label

if TYPE_CHECKING:
    import pandas as pd

    from analysis.comparison.results import ComparedRows, Comparison

METHOD = (
    "95 % intervals by a circular block bootstrap: 1,000 texts are put together from stretches of neighbouring tokens, "
    "because a token's number depends on those before it; seed 0. They say how much the text matters, not the model."
)


@dataclass(frozen=True)
class SummaryRow:
    """One number."""

    name: str
    label: str
    value: float
    low: float
    """Lower end of the interval; NaN where there is none, as for a largest value."""
    high: float
    unit: str
    """"nats", "bits per byte", "share", or empty for a number without one."""
    n: int
    """How many tokens or spans it is of."""
    help: str


@dataclass(frozen=True)
class Summary:
    """How far two sides are apart."""

    rows: tuple[SummaryRow, ...]

    def __getitem__(self, name: str) -> SummaryRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        return any(row.name == name for row in self.rows)

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """Table with one row per number; information in the chosen unit, which the column ``unit`` says.

        Parameters
        ----------
        unit : {"nats", "bits"}
            Unit of information.
        """
        import pandas as pd

        def shown(row: SummaryRow, value: float) -> float:
            return from_nats(value, unit) if row.unit == "nats" else value

        return pd.DataFrame(
            {
                "name": [row.name for row in self.rows],
                "label": [row.label for row in self.rows],
                "value": [shown(row, row.value) for row in self.rows],
                "low": [shown(row, row.low) for row in self.rows],
                "high": [shown(row, row.high) for row in self.rows],
                "unit": [unit_label(unit) if row.unit == "nats" else row.unit for row in self.rows],
                "n": [row.n for row in self.rows],
            }
        )


@dataclass(frozen=True)
class Wanted:
    """A number that a summary is to hold."""

    name: str
    label: str
    unit: str
    help: str
    values: np.ndarray
    """(n,) or (m, n): what is resampled along the last axis."""
    statistic: Statistic
    has_interval: bool = True


def mean(samples: np.ndarray) -> np.ndarray:
    """Mean of every sample."""
    found: np.ndarray = samples.mean(-1)
    return found


def quantile(q: float) -> Statistic:
    """The quantile of every sample, between its two neighbours in a straight line."""
    return lambda samples: np.asarray(np.quantile(samples, q, axis=-1))


def summary_of(c: Comparison) -> Summary:
    """Means, quantiles and rates over the tokens that both sides predicted, in float64.

    Parameters
    ----------
    c : Comparison
        Without rows, only what its spans say.

    Returns
    -------
    Summary
        Intervals as :data:`METHOD` says.
    """
    wanted = [*(_of_rows(c.rows) if c.rows is not None else ()), *_of_spans(c)]
    return Summary(tuple(summarised(wanted)))


def summarised(wanted: list[Wanted]) -> Iterator[SummaryRow]:
    """Every number with its interval; those of equally many values are resampled alike."""
    draws: dict[int, np.ndarray] = {}
    for one in wanted:
        n = one.values.shape[-1]
        if not n:
            continue
        low = high = float("nan")
        if one.has_interval and n > 1:
            if n not in draws:
                draws[n] = resampled(n)
            low, high = interval(one.values, one.statistic, draws[n])
        value = float(one.statistic(one.values))
        yield SummaryRow(one.name, one.label, value, low, high, one.unit, n, one.help)


def _of_rows(rows: ComparedRows) -> Iterator[Wanted]:
    known = rows.has_context
    of = {
        name: getattr(rows, name)[known].astype(np.float64)
        for name in ("kl_ab", "kl_ba", "jsd", "tv", "entropy_change", "surprisal_change", "prob_change")
    }
    least = " At least: ids that one side does not have count as one." if rows.at_least else ""
    price = (
        "Price in nats of taking B's predictions where A's are the truth, over the whole vocabulary." + least
    )
    back = "The same with A and B exchanged." + least
    for name, said in (("kl_ab", price), ("kl_ba", back)):
        label = "KL(A‖B)" if name == "kl_ab" else "KL(B‖A)"
        yield Wanted(f"mean_{name}", f"{label}, mean", "nats", said, of[name], mean)
        yield Wanted(f"median_{name}", f"{label}, median", "nats", said, of[name], quantile(0.5))
        yield Wanted(f"p99_{name}", f"{label}, 99 % quantile", "nats", said, of[name], quantile(0.99))
        yield Wanted(f"max_{name}", f"{label}, largest", "nats", said, of[name], _largest, has_interval=False)
    half = "Half-way between both directions of KL, at most ln 2." + least
    yield Wanted("mean_jsd", "Jensen-Shannon divergence, mean", "nats", half, of["jsd"], mean)
    event = "Largest change of the probability of any event." + least
    yield Wanted("mean_tv", "total variation, mean", "share", event, of["tv"], mean)
    same = 1 - rows.first_differs[known].astype(np.float64)
    yield Wanted(
        "same_first",
        "same first choice",
        "share",
        "Tokens before which both would choose the same.",
        same,
        mean,
    )
    flips = (rows.rank_a != rows.rank_b)[known].astype(np.float64)
    yield Wanted(
        "rank_flips", "other rank of the text's token", "share", "Tokens whose rank changed.", flips, mean
    )
    more = "Above 0: B is less sure before the token."
    yield Wanted("mean_entropy_change", "change of entropy, mean", "nats", more, of["entropy_change"], mean)
    worse = "Above 0: B finds the text more unexpected. On a given text this is no KL."
    yield Wanted(
        "mean_surprisal_change", "change of surprisal, mean", "nats", worse, of["surprisal_change"], mean
    )
    times = "Perplexity of B over that of A: exp of the mean change of surprisal."
    yield Wanted("perplexity_ratio", "perplexity of B over A", "", times, of["surprisal_change"], _exp_mean)
    shift = "Probability of the text's token on side B less that on side A."
    for q in (0.01, 0.05, 0.5, 0.95, 0.99):
        name, label = f"prob_change_p{round(100 * q)}", f"change of probability, {q:.0%} quantile"
        yield Wanted(name, label, "share", shift, of["prob_change"], quantile(q))
    yield Wanted(
        "prob_change_rms",
        "change of probability, root of mean square",
        "share",
        shift,
        of["prob_change"],
        root_mean_square,
    )


def _of_spans(c: Comparison) -> Iterator[Wanted]:
    """What any two tokenizers allow: bits per byte over the spans that both sides predicted."""
    spans, known = c.spans, c.spans.has_context
    n_bytes = spans.n_bytes[known].astype(np.float64)
    if not n_bytes.sum():
        return
    said = "Surprisal of the spans that both sides predicted, in bits, over their UTF-8 bytes."
    for side in "ab":
        surprisal = getattr(spans, f"surprisal_{side}")[known]
        values = np.stack([surprisal, n_bytes])
        yield Wanted(
            f"bits_per_byte_{side}",
            f"bits per byte of {side.upper()}",
            "bits per byte",
            said,
            values,
            _per_byte,
        )
    if c.rows is None:
        change = spans.surprisal_change[known]
        yield Wanted(
            "mean_span_surprisal_change",
            "change of surprisal of a span, mean",
            "nats",
            "Above 0: B finds the text more unexpected.",
            change,
            mean,
        )


def _largest(samples: np.ndarray) -> np.ndarray:
    found: np.ndarray = samples.max(-1)
    return found


def _exp_mean(samples: np.ndarray) -> np.ndarray:
    return np.exp(mean(samples))


def root_mean_square(samples: np.ndarray) -> np.ndarray:
    """Root of the mean square of every sample."""
    return np.sqrt(np.square(samples).mean(-1))


def _per_byte(samples: np.ndarray) -> np.ndarray:
    surprisal, n_bytes = samples
    found: np.ndarray = surprisal.sum(-1) / (BIT * n_bytes.sum(-1))
    return found
