"""Every picture as a function of a result; the names a notebook uses after ``an.figures``."""

from analysis.token_entropy.figures import (
    along_text,
    entropy_histogram,
    surprisal_scatter,
    token_strip,
)
from analysis.token_entropy.lens_figures import lens_curve, lens_heatmap

__all__ = [
    "along_text",
    "entropy_histogram",
    "lens_curve",
    "lens_heatmap",
    "surprisal_scatter",
    "token_strip",
]
