"""Two answers of one model beside each other: to two questions about one picture, or about two pictures. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.units import from_nats
from analysis.visual_tokens.findings import answer_finding, sink_patches, without_first

if TYPE_CHECKING:
    import pandas as pd

    from analysis.units import Unit
    from analysis.visual_tokens.results import VisualAnswer


@dataclass(frozen=True, eq=False)
class AnswerPair:
    """Two answers, A and B; a difference is B less A.

    Parameters
    ----------
    a, b : VisualAnswer
        Of the same model.
    """

    a: VisualAnswer
    b: VisualAnswer

    @property
    def same_picture(self) -> bool:
        """Whether both are about one picture, so that a patch of A is that patch of B."""
        return self.a.spec.image_sha256 == self.b.spec.image_sha256

    def on_pictures(
        self, tokens: tuple[int, int] = (0, 0), layer: int | None = None, head: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights of a written token of A and of one of B on their visual tokens, float64, (N_A,) and (N_B,).

        Parameters
        ----------
        tokens : (int, int)
            Numbers of the written tokens.
        layer, head : int, optional
            As for :meth:`analysis.visual_tokens.results.Looking.on_picture`.
        """
        both = zip((self.a, self.b), tokens, strict=True)
        a, b = (one.looking.on_picture(token, layer, head).astype(np.float64) for one, token in both)
        return a, b

    def difference(
        self, tokens: tuple[int, int] = (0, 0), layer: int | None = None, head: int | None = None
    ) -> np.ndarray:
        """How much more of its attention B's token gives each patch than A's, (N,), shares of all attention.

        Raises
        ------
        AnalysisError
            If the pictures are not the same: no patch of one is a patch of the other.
        """
        if not self.same_picture:
            raise AnalysisError(
                "The two answers are about different pictures, whose patches have nothing in common.",
                "Ask another question about the same picture.",
            )
        a, b = self.on_pictures(tokens, layer, head)
        return np.asarray(b - a)

    def sinks(self, layer: int | None = None) -> np.ndarray:
        """Patches of one picture that are sinks by attention in A or in B, (N,) of bool."""
        return np.asarray(sink_patches(self.a, layer) | sink_patches(self.b, layer))

    def moved(
        self,
        tokens: tuple[int, int] = (0, 0),
        layer: int | None = None,
        head: int | None = None,
        *,
        without_sinks: bool = False,
    ) -> float:
        """Share of what the tokens spend on the picture that lies on other patches for B than for A, 0 to 1.

        The total variation between the two as distributions over the patches: half the sum of the absolute
        differences.

        Parameters
        ----------
        tokens, layer, head
            As for :meth:`difference`.
        without_sinks : bool
            Leave sinks of either out of both distributions.

        Returns
        -------
        float
            NaN where one of them spends nothing on these patches.

        Raises
        ------
        AnalysisError
            As :meth:`difference`.
        """
        self.difference(tokens, layer, head)
        counted = ~self.sinks(layer) if without_sinks else np.ones(len(self.a.picture), bool)
        a, b = (weights[counted] for weights in self.on_pictures(tokens, layer, head))
        if not a.sum() or not b.sum():
            return float("nan")
        return float(np.abs(a / a.sum() - b / b.sum()).sum() / 2)

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """Table of both answers: ``quantity``, ``unit``, ``a``, ``b`` and ``difference``, b less a.

        The probability is that of the whole answer, its end included; entropy is the mean over its tokens. Shares of
        attention are means over written tokens, layers and heads, picture and text without position 0; so is MDI.
        """
        import pandas as pd

        rows: list[tuple[str, str, float, float]] = []
        for quantity, kind in _QUANTITIES.items():
            a, b = (_number(one, quantity) for one in (self.a, self.b))
            if kind == "information":
                a, b, kind = from_nats(a, unit), from_nats(b, unit), unit
            rows.append((quantity, kind, a, b))
        frame = pd.DataFrame(rows, columns=["quantity", "unit", "a", "b"])
        return frame.assign(difference=frame["b"] - frame["a"])


_QUANTITIES = {
    "written tokens": "tokens",
    "probability": "share",
    "entropy": "information",
    "attention on the picture": "share",
    "attention on text": "share",
    "attention on position 0": "share",
    "MDI": "",
}
"""What the table says of each answer, and its unit."""


def _number(one: VisualAnswer, quantity: str) -> float:
    found, looking = answer_finding(one), one.looking
    first = looking.share_first.mean(dtype=np.float64)
    picture, text = without_first(one, found.picture, looking.share_text.mean(dtype=np.float64), first)
    return float(
        {
            "written tokens": len(one.tokens),
            "probability": found.probability,
            "entropy": found.entropy,
            "attention on the picture": picture,
            "attention on text": text,
            "attention on position 0": first,
            "MDI": found.mdi,
        }[quantity]
    )


_OF_A_MODEL = ("model", "family", "n_layers", "n_heads", "hidden_size", "vocab_size")


def compare_answers(a: VisualAnswer, b: VisualAnswer) -> AnswerPair:
    """Put two answers beside each other: two questions about one picture, or a question about two pictures.

    Parameters
    ----------
    a, b : VisualAnswer
        Of :func:`analysis.ask`, or opened from files.

    Returns
    -------
    AnswerPair
        Tables, differences, and what ``an.figures`` draws of both.

    Raises
    ------
    AnalysisError
        If they are of different models, whose layers and heads are not the same ones.

    Examples
    --------
    >>> pair = an.compare_answers(an.ask(vlm, image, "which digit is shown?"), an.ask(vlm, image, "which word is shown?"))
    >>> pair.moved()  # share of the first token's attention on the picture that lies elsewhere
    """
    # not by revision: a local model's holds the times of its files, and another one on each machine
    if any(getattr(a.spec, name) != getattr(b.spec, name) for name in _OF_A_MODEL):
        raise AnalysisError(
            f"The answers are of two models, {a.spec.model} and {b.spec.model}.",
            "Ask the same model twice: layers and heads of another one are not the same.",
        )
    return AnswerPair(a, b)
