"""The one model in memory. Only the worker thread takes it out of the slot or puts one in."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from analysis.models.spec import ModelSpec

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel, ModelInfo


class ModelSlot:
    """Holds at most one loaded model; the old one goes before a new one comes."""

    def __init__(self) -> None:
        self._model: LanguageModel | None = None
        self._key: tuple[ModelSpec, str] | None = None

    @property
    def info(self) -> ModelInfo | None:
        """What is loaded, readable from any thread; None when nothing is."""
        model = self._model
        return model.info if model else None

    @property
    def spec(self) -> ModelSpec | None:
        """Spec of what is loaded."""
        key = self._key
        return key[0] if key else None

    def get(self, spec: ModelSpec, report: Callable[[float, str], None]) -> LanguageModel:
        """The model of a spec, loaded now if it is not the one in the slot."""
        key = (spec, spec.fingerprint())
        if self._model is not None and self._key == key:
            return self._model
        self.unload()
        if "torch" not in sys.modules:
            report(0.0, "starting torch")
        from analysis.models.loading import load_model

        report(0.0, f"loading {spec.name}")
        model = load_model(spec)
        self._model, self._key = model, key
        return model

    def unload(self) -> None:
        """Drop the model and give its memory back to the device."""
        self._model, self._key = None, None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
