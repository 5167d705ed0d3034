"""Least squares of one shape, and data made again as if that shape were true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Interval = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """Least squares of y on (x, 1)."""

    slope: float
    intercept: float
    fitted: np.ndarray
    residual: np.ndarray
    basis: np.ndarray
    """(n, 2), orthonormal: the fit of any y is ``basis @ (basis.T @ y)``."""
    to_coefficients: np.ndarray
    """(2, n): intercept and slope of any y."""
    r2: float

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> Line:
        """Fit y, (n,), on x, (n,)."""
        centred, deviation = x - x.mean(), y - y.mean()
        slope = float(centred @ deviation / (centred @ centred))
        fitted = y.mean() + slope * centred
        residual = y - fitted
        basis = np.stack([np.full(len(x), len(x) ** -0.5), centred / np.linalg.norm(centred)], 1)
        to_slope = centred / (centred @ centred)
        to_coefficients = np.stack([1 / len(x) - to_slope * x.mean(), to_slope])
        r2 = 1 - float(residual @ residual / (deviation @ deviation))
        return cls(slope, float(y.mean() - slope * x.mean()), fitted, residual, basis, to_coefficients, r2)

    @property
    def rss(self) -> float:
        """Sum of squared residuals."""
        return float(self.residual @ self.residual)

    def at(self, x: np.ndarray) -> np.ndarray:
        """Fitted y at any x."""
        return self.intercept + self.slope * x


def resampled(
    first: Line, second: Line, truth: Line, n_boot: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Make data again as if one fit were true.

    Residuals are drawn in circular blocks of about the cube root of n neighbours, since
    neighbouring steps resemble each other.

    Parameters
    ----------
    first, second : Line
        Two shapes fitted to the same y.
    truth : Line
        The one taken for true.
    n_boot : int
        How often.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    ahead : numpy.ndarray, shape (n_boot,)
        Sum of squares of the second shape minus that of the first.
    coefficients : numpy.ndarray, shape (n_boot, 2)
        Intercept and slope of ``truth``, spread as Student's t would for so few blocks.
    """
    n = len(truth.fitted)
    block = block_length(n)
    residual = (truth.residual - truth.residual.mean()) * np.sqrt(n / (n - 2))
    ahead, coefficients = np.empty(n_boot), np.empty((n_boot, 2))
    rows = max(1, 2_000_000 // n)
    for at in range(0, n_boot, rows):
        here = slice(at, min(at + rows, n_boot))
        starts = rng.integers(0, n, (here.stop - at, -(-n // block), 1))
        index = ((starts + np.arange(block)) % n).reshape(here.stop - at, -1)[:, :n]
        y = truth.fitted + residual[index]
        # Both fits contain the mean: the difference of their sums of squares is that of what they explain.
        ahead[here] = (y @ first.basis[:, 1]) ** 2 - (y @ second.basis[:, 1]) ** 2
        coefficients[here] = y @ truth.to_coefficients.T
    own = np.array([truth.intercept, truth.slope])
    freedom = max(1.0, n / block - 2)
    return ahead, own + (coefficients - own) * (1 + 1.21 / freedom)  # t / z at 97.5 %, to first order


def block_length(n: int) -> int:
    """Neighbours drawn together."""
    return max(1, round(n ** (1 / 3)))


def interval(values: np.ndarray, estimate: float) -> Interval:
    """Middle 95 % of resampled values, with the estimate itself."""
    low, high = np.percentile(values, [2.5, 97.5])
    return min(float(low), estimate), max(float(high), estimate)
