"""What one question about one picture says: the answer, where it looked, and what the layers did. Numpy only.

A written token's numbers are about that token: row t is the state that predicted token t, and where its attention
went. Layers count from 0; an array with L + 1 entries begins with what enters layer 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from analysis.results.tokens import TokenTrace
from analysis.results.trace import Check, Trace

if TYPE_CHECKING:
    import pandas as pd

    from analysis.units import Unit

PositionKind = Literal["text", "special", "image", "newline"]
POSITION_KINDS: tuple[PositionKind, ...] = get_args(PositionKind)
"""What stands at a position of a prompt; a newline ends a row of the image and has no place on the picture."""
QUESTION_ROWS = 64
"""Rows of a prompt's end that count among those after the image."""
SINK_FACTOR = 10
"""Times an even share from which on a row's attention on a visual token is that on a sink."""


@dataclass(frozen=True)
class VisualSpec:
    """Everything that decides the numbers of an answer; plain values."""

    model: str
    source: str
    """"shipped", a hub id or a folder."""
    revision: str
    """Commit of a hub model, fingerprint of a local one."""
    family: str
    """``model_type`` of the configuration."""
    dtype: str
    device: str
    """Name of the device."""
    question: str
    image_sha256: str
    """Of width, height and the pixels."""
    n_visual: int
    """Visual tokens with a place on the picture, N."""
    n_newlines: int
    """Learned ends of rows, which stand under the image's id as well."""
    n_prompt: int
    """Positions before the first written token, S."""
    n_written: int
    """Written tokens, A; the one that ends the answer is among them."""
    n_layers: int
    n_heads: int
    hidden_size: int
    vocab_size: int
    max_new: int
    top_k: int = 10

    @property
    def subtitle(self) -> str:
        """One line under a figure."""
        return " · ".join(
            (self.model, self.dtype, self.device, f"{self.n_visual} visual tokens", self.question)
        )


@dataclass(frozen=True, eq=False)
class SeenPicture:
    """The picture as the model was given it, and the part of it that each visual token stands for."""

    png: bytes
    """Encoded anew: pixels only, no metadata."""
    width: int
    height: int
    boxes: np.ndarray
    """float64, (N, 4): left, top, right, bottom in pixels of the picture; empty on padding alone."""
    row: np.ndarray
    """int64, (N,): in the token's own grid; crops count on over the picture."""
    column: np.ndarray
    """int64, (N,)."""
    crop: np.ndarray
    """int64, (N,): 0 for the whole picture, 1, 2, ... for its crops."""
    unseen: float = 0.0
    """Share of the picture that no token stands for: what a centre crop cuts away."""
    notes: tuple[str, ...] = ()
    """What was done to the picture, a sentence each."""

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def main(self) -> np.ndarray:
        """bool, (N,): tokens to draw over the picture; the others saw it small and belong beside it."""
        return self.crop > 0 if (self.crop > 0).any() else np.ones(len(self), bool)

    @property
    def in_crops_and_whole(self) -> bool:
        """Whether the model saw the picture in crops, and small as a whole beside them."""
        return bool((self.crop > 0).any() and (self.crop == 0).any())

    @property
    def n_in_crops(self) -> int:
        """Tokens of the crops; 0 where there are none."""
        return int((self.crop > 0).sum())

    @property
    def border(self) -> np.ndarray:
        """bool, (N,): first or last row or column of the token's own grid: the whole picture's, or all crops'."""
        found = np.zeros(len(self), bool)
        for part in (self.crop == 0, self.crop > 0):
            for place in (self.row, self.column):
                if part.any():
                    found |= part & ((place == place[part].min()) | (place == place[part].max()))
        return found


@dataclass(frozen=True)
class PromptPositions:
    """What stands where before the answer, S positions."""

    text: tuple[str, ...]
    """Readable name of the token at each position."""
    kind: tuple[PositionKind, ...]
    visual: np.ndarray
    """int64, (N,), rising: positions of the visual tokens with a place."""

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True, eq=False)
class Looking:
    """Attention of the written tokens' rows: weights of the model's own softmax, under its own mask.

    Shares are of a row's whole mass; text is whatever has no image's id, what was already written included.
    """

    mean: np.ndarray
    """float32, (A, L, N): weight on each visual token, mean over heads."""
    attention: np.ndarray | None
    """float32, (A, L, H, N): the same of each head; None where it would take more than the limit."""
    share_visual: np.ndarray
    """float32, (A, L, H), in [0, 1]: on all visual tokens with a place."""
    share_newlines: np.ndarray
    """float32, (A, L, H): on learned ends of rows."""
    share_first: np.ndarray
    """float32, (A, L, H): on position 0, whatever stands there; 0 where a window hides it."""
    entropy: np.ndarray
    """float32, (A, L, H), nats: of the weights on the visual tokens, as shares of their sum."""
    mdi: np.ndarray
    """float64, (A, L): modality dominance index, mean over heads; above 1 text gets more than its count says."""
    aei: np.ndarray
    """float64, (A, L): attention efficiency index of text."""
    mdi_without_first: np.ndarray
    """float64, (A, L): position 0 left out of masses and counts."""
    aei_without_first: np.ndarray
    """float64, (A, L)."""
    received: np.ndarray
    """float32, (L, N): weight on each visual token, mean over heads and over the rows after the image: the last
    :data:`QUESTION_ROWS` of the prompt, and those of the written tokens."""
    attended: np.ndarray
    """bool, (L, N): sinks by attention. They get over :data:`SINK_FACTOR` times an even share of what a row spends on
    the visual tokens, mean over heads, in at least half of the rows after the image: whatever is read there."""

    @property
    def share_text(self) -> np.ndarray:
        """float32, (A, L, H): on text, position 0 included where text stands there."""
        return 1 - self.share_visual - self.share_newlines

    def on_picture(self, token: int, layer: int | None = None, head: int | None = None) -> np.ndarray:
        """Weights of one written token on the visual tokens, (N,).

        Parameters
        ----------
        token : int
            Number of the written token.
        layer : int, optional
            Mean over all layers by default.
        head : int, optional
            Mean over all heads by default.

        Raises
        ------
        ValueError
            If single heads were not kept.
        """
        if head is None:
            rows = self.mean[token]
        elif self.attention is None:
            raise ValueError(
                "the weights of single heads were not kept: they would have taken too much memory"
            )
        else:
            rows = self.attention[token, :, head]
        return np.asarray(rows.mean(0) if layer is None else rows[layer])


@dataclass(frozen=True, eq=False)
class VisualLayers:
    """What the layers did to the visual tokens of the prompt, before anything was written."""

    matrix_entropy_visual: np.ndarray
    """float64, (L + 1,), nats, at most ln min(N - 1, D): of the states of all visual tokens; NaN if not measured."""
    matrix_entropy_text: np.ndarray
    """float64, (L + 1,), nats: of the states of the prompt's text."""
    matrix_entropy_text_without_first: np.ndarray
    """float64, (L + 1,), nats: the text's first token, mostly a sink, left out."""
    norms: np.ndarray
    """float32, (L + 1, N): Euclidean norm of each visual token's state."""
    patch_entropy: np.ndarray
    """float32, (L, N), 0 to ln(H - 1) / ln H with H heads: EntropyPrune's score of a token's queries in each layer."""
    patch_entropy_released: np.ndarray
    """float32, (L, N): the same as in its released code, where it is no entropy and has no bound."""
    transition: np.ndarray
    """float32, (L, N): TransPrune's score, how much and how far away each layer moves a token; NaN if not measured."""
    massive: np.ndarray
    """bool, (L + 1, N): sinks by their state, massive in a sink dimension; none before layer 2."""
    sink_dimensions: tuple[int, ...] = ()
    """Dimensions in which the first token's state is massive in the middle layers; none in many small models."""

    @property
    def n_layers(self) -> int:
        """Layers of the language model, L."""
        return len(self.patch_entropy)


@dataclass(frozen=True, eq=False)
class VisualAnswer:
    """A picture, a question, the answer, and where it came from."""

    text: str
    """The answer as a person reads it, without the token that ends it."""
    trace: Trace
    """The written tokens as a run: their entropy, their alternatives, the norms of their states. Its context counts
    the whole prompt; attention among written tokens is not part of it."""
    picture: SeenPicture
    prompt: PromptPositions
    looking: Looking
    layers: VisualLayers
    spec: VisualSpec
    checks: tuple[Check, ...]
    unavailable: dict[str, str] = field(default_factory=dict)
    """Why a part was not measured, by its name."""
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What a person should know about the model and the picture, a sentence each."""

    @property
    def tokens(self) -> TokenTrace:
        """The A written tokens; entry t speaks about token t."""
        return self.trace.tokens

    def save(self, path: str | Path) -> Path:
        """Write the answer, its picture inside, to one file that :func:`analysis.load_answer` opens. Returns the path."""
        from analysis.visual_tokens.answer_file import save_answer

        return save_answer(self, path)

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per written token: its numbers, and what became of its attention.

        Shares are means over layers and heads; the two indices medians over layers, for single layers may have any
        size.
        """
        frame = self.tokens.to_frame(unit)
        parts = {
            "visual": self.looking.share_visual,
            "text": self.looking.share_text,
            "first_position": self.looking.share_first,
        }
        for name, share in parts.items():
            frame[f"attention_{name}"] = share.mean((1, 2))
        for name in ("mdi", "aei"):
            frame[name] = np.median(getattr(self.looking, name), axis=1)
            frame[f"{name}_without_first"] = np.median(getattr(self.looking, f"{name}_without_first"), axis=1)
        return frame
