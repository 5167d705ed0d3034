"""Pictures and questions through the one worker: a second slot for a vision-language model, and what is asked of it.

A person's picture lives in the session and in the work itself: the keys of these jobs carry the session's id, and what
they leave behind is dropped with it.
"""

from __future__ import annotations

import gc
import hashlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.compute import requests as runs
from app.compute.job import Job

if TYPE_CHECKING:
    from PIL.Image import Image

    from analysis.models.spec import Precision
    from analysis.visual_tokens.results import VisualAnswer
    from analysis.visual_tokens.vision_model import VisionModel

SHIPPED = ""
"""Name of the vision-language model that comes with the project."""
MOST_NEW = 32
"""Tokens of an answer, at most."""


@dataclass(frozen=True)
class VisionSpec:
    """A vision-language model to load: a hub id, a folder, or :data:`SHIPPED`."""

    name: str = SHIPPED
    device: str = "auto"
    dtype: Precision = "auto"


class VisionSlot:
    """Holds at most one vision-language model. Only the worker thread takes it out or puts one in."""

    def __init__(self) -> None:
        self._held: tuple[VisionSpec, VisionModel] | None = None

    @property
    def spec(self) -> VisionSpec | None:
        """Spec of what is loaded, readable from any thread."""
        held = self._held
        return None if held is None else held[0]

    def get(self, spec: VisionSpec, job: Job) -> VisionModel:
        """The model of a spec, loaded now if it is not the one in the slot; a text model makes room for a large one."""
        if self._held is not None and self._held[0] == spec:
            return self._held[1]
        self._held = None
        gc.collect()
        if spec.name != SHIPPED:
            runs.engine().model_slot.unload()
        job.report(0.0, "starting torch" if "torch" not in sys.modules else "loading the model")
        from analysis.visual_tokens.model import load_vision_model

        model = load_vision_model(spec.name or None, device=spec.device, dtype=spec.dtype)
        self._held = (spec, model)
        return model


@st.cache_resource(show_spinner=False, max_entries=1)
def vision_slot() -> VisionSlot:
    """One slot for all sessions of the server."""
    return VisionSlot()


@dataclass(frozen=True)
class VisualRequest:
    """Everything that decides an answer: the model, the picture, the question."""

    model: VisionSpec
    question: str
    scene: int | None
    """Number of a generated scene; None for a picture of a person."""
    digest: str = ""
    """Hash of that picture's pixels."""

    @property
    def key(self) -> str:
        """Id of the request, in this session."""
        values = json.dumps(asdict(self), sort_keys=True)
        return f"{runs.private()}look/{hashlib.sha256(values.encode('utf-8', 'replace')).hexdigest()[:32]}"


@dataclass(frozen=True)
class VisualExperiment:
    """Something computed on demand about a picture and a question, or about the model alone."""

    of: VisualRequest
    name: str
    options: tuple[tuple[str, object], ...] = ()
    """Everything else that decides the result; plain values."""

    @property
    def key(self) -> str:
        """Id of the experiment, in this session."""
        options = json.dumps(self.options, sort_keys=True, default=str)
        return f"{self.of.key}/{self.name}/{hashlib.sha256(options.encode()).hexdigest()[:32]}"


def submit_question(request: VisualRequest, png: bytes | None) -> Job:
    """Ask a question about a picture; the same one is answered once.

    Parameters
    ----------
    request : VisualRequest
    png : bytes or None
        The picture of a person; None where it is a scene.

    Raises
    ------
    AnalysisError
        When the queue is full.
    """

    def compute(model: VisionModel, image: Image, job: Job) -> VisualAnswer:
        from analysis.visual_tokens.ask import ask

        return ask(model, image, request.question, max_new=MOST_NEW, on_progress=job.report)

    return _submit(request, request, png, compute)


def submit_experiment(
    experiment: VisualExperiment, png: bytes | None, compute: Callable[[VisionModel, Image, Job], Any]
) -> Job:
    """Ask for an experiment; the same one is computed once. Raises AnalysisError when the queue is full."""
    return _submit(experiment, experiment.of, png, compute)


def _submit(
    wanted: runs.Keyed,
    of: VisualRequest,
    png: bytes | None,
    compute: Callable[[VisionModel, Image, Job], Any],
) -> Job:
    slot = vision_slot()

    def work(job: Job) -> Any:
        return compute(slot.get(of.model, job), _image(of, png), job)

    return runs.engine().worker.submit(wanted.key, work, owner=runs.owner())


def _image(request: VisualRequest, png: bytes | None) -> Image:
    if request.scene is not None:
        from analysis.visual_tokens.scenes.scene import scene

        return scene(request.scene).image
    from PIL import Image

    assert png is not None
    return Image.open(io.BytesIO(png)).convert("RGB")  # our own encoding of what was read safely
