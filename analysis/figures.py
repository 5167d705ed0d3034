"""Every picture as a function of a result; the names a notebook uses after ``an.figures``."""

from analysis.token_entropy.figures import (
    along_text,
    entropy_histogram,
    lens_curve,
    lens_heatmap,
    surprisal_scatter,
    token_strip,
)

__all__ = [
    "along_text",
    "entropy_histogram",
    "lens_curve",
    "lens_heatmap",
    "surprisal_scatter",
    "token_strip",
]
