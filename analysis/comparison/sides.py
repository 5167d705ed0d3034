"""A side of a comparison: a model, a text, and what is done to either; opened when its turn comes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

import torch

from analysis.comparison.evicted import Eviction
from analysis.comparison.round_trip import Rounding, rounded_weights
from analysis.errors import AnalysisError
from analysis.forward.visibility import Visibility
from analysis.models.loading import LanguageModel, load_model
from analysis.models.spec import EMBEDDED, ModelSpec, Precision
from analysis.models.tokenization import Bos
from analysis.models.untrained import untrained_twin
from analysis.results.trace import Trace


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison: a model that reads a text.

    Raises
    ------
    AnalysisError
        If two settings contradict each other.
    """

    model: LanguageModel | ModelSpec | str | None = EMBEDDED
    """A loaded model; or what to load when its turn comes, and to drop after it. None for a run of another machine."""
    text: str = ""
    """What both sides are compared on."""
    _: KW_ONLY
    bos: Bos = "auto"
    """Beginning-of-text token: as the tokenizer does, always, never."""
    parse_special: bool = True
    """Whether special tokens that the text spells out are read as such."""
    stride: int | None = None
    """Windows this far apart, where the text is longer than the model takes."""
    before: str = ""
    """Read in front of the text."""
    system: str | None = None
    """The text is read as a user's message of a chat with this system message; "" is the chat without one of ours."""
    adapter: str | Path | None = None
    """An adapter beside the weights: a folder, or the name of one that the project ships."""
    strength: float = 1.0
    """Factor on the adapter's part of every weight."""
    rounded: Rounding | None = None
    """Weights of the layers through this grid and back."""
    precision: Precision | None = None
    """Load the model in another precision than its own."""
    untrained: bool = False
    """Random weights in the same architecture."""
    visibility: Visibility | None = None
    """What is hidden from the model's attention."""
    eviction: Eviction | None = None
    """The text's first part is read whole, and the rest with what is left of its cache."""
    trace: Trace | None = None
    """A run that exists: it is not made again."""

    def __post_init__(self) -> None:
        if self.model is None and self.trace is None:
            raise AnalysisError(
                "A side has neither a model nor a run.", "Name a model, or open a trace file."
            )
        if self.before and self.system is not None:
            raise AnalysisError(
                "A side has both a text in front and a system message.", "Put both into the system message."
            )
        if self.eviction is not None and self.visibility is not None:
            raise AnalysisError("A side both evicts and hides tokens.", "Choose one of the two.")
        if self.trace is None and not self.text.strip():
            raise AnalysisError("There is no text to compare on.", "Type or paste some text.")

    def same_run(self, other: Side) -> bool:
        """Whether both would give the same run: the same model, by itself or by its name, and the same settings."""
        if self.trace is not None and self.trace is other.trace:
            return True
        names = [name for name in vars(self) if name not in ("model", "trace")]
        alike = all(getattr(self, name) == getattr(other, name) for name in names)
        return alike and other.trace is None and self._is_plainly_run() and same_source(self, other)

    def _is_plainly_run(self) -> bool:
        """Whether the run, if there is one already, is of this text as the settings say."""
        if self.trace is None:
            return True
        spec, altered = (
            self.trace.spec,
            (self.system, self.adapter, self.rounded, self.eviction, self.visibility),
        )
        return (
            self.trace.text == self.before + self.text
            and (spec.bos, spec.parse_special, spec.stride) == (self.bos, self.parse_special, self.stride)
            and not (spec.ids_sha256 or spec.visibility or spec.eviction or spec.rounded)
            and altered == (None,) * len(altered)
            and not self.untrained
        )


def same_source(a: Side, b: Side) -> bool:
    """Whether two sides begin with the same model, whatever is done to it then."""
    if isinstance(a.model, LanguageModel) or isinstance(b.model, LanguageModel):
        return a.model is b.model
    return a.model is not None and b.model is not None and spec_of(a) == spec_of(b)


def spec_of(side: Side) -> ModelSpec:
    """What is to be loaded for a side whose model is not, in the precision it asks for."""
    assert not isinstance(side.model, LanguageModel) and side.model is not None
    spec = side.model if isinstance(side.model, ModelSpec) else ModelSpec(side.model)
    return spec if side.precision is None else replace(spec, dtype=side.precision)


def second_model(side: Side) -> str:
    """Why a side needs weights of its own beside those of a model that is loaded; empty if it does not."""
    if not isinstance(side.model, LanguageModel):
        return "another model"
    if side.precision not in (None, "auto", side.model.info.dtype):
        return f"the model in {side.precision}"
    return "the untrained model" if side.untrained else ""


@contextmanager
def opened(side: Side) -> Iterator[LanguageModel]:
    """The model of a side with everything that is done to it.

    Parameters
    ----------
    side : Side
        One with a model.

    Yields
    ------
    LanguageModel
        Valid while the context is open: a model that was there before is as it was then, to the bit. One that was loaded
        goes with its last reference; :func:`free_unused` gives its memory back.

    Raises
    ------
    AnalysisError
        If the model cannot be loaded, or the adapter or the grid does not fit it.
    """
    with ExitStack() as stack:
        yield _altered(side, _unaltered(side), stack)


def _unaltered(side: Side) -> LanguageModel:
    if not isinstance(side.model, LanguageModel):
        return load_model(spec_of(side))
    if side.precision in (None, "auto", side.model.info.dtype):
        return side.model
    return load_model(replace(side.model.spec, dtype=side.precision))


def _altered(side: Side, model: LanguageModel, stack: ExitStack) -> LanguageModel:
    if side.untrained:
        model = untrained_twin(model)
    if side.adapter is not None:
        from analysis.comparison.adapters import attached

        model = stack.enter_context(attached(model, side.adapter, side.strength))
    if side.rounded is not None:
        stack.enter_context(rounded_weights(model, side.rounded))
    return model


def free_unused() -> None:
    """Give the memory of a model that nobody holds any more back to its device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
