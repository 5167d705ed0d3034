"""Logitscope: what a language model knows, attends to, loses and can forget.

Three lines give the numbers behind every page of the app::

    import analysis as an
    model = an.load_model()
    trace = an.trace(model, "Your text.")

Map of the package
------------------
``models``            what to load, loading it, its parts, what a run will cost
``forward``           one measured pass over a text
``token_entropy``     how unsure the model was just before each token
``entropy_collapse``  what the layers do to a text
``figures``           every picture, as a function of a result
``files``             trace files
``units``, ``errors``, ``drawing``  nats and bits; problems with a hint; colours and the strip

Names are imported when they are first used, so that a figure needs no torch and a run
needs no plotting library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import analysis.figures as figures
    from analysis.errors import AnalysisError, Cancelled
    from analysis.files import load_trace
    from analysis.forward.results import Trace
    from analysis.forward.trace import trace
    from analysis.models.loading import LanguageModel, load_model
    from analysis.models.preflight import plan_run
    from analysis.models.spec import ModelSpec
    from analysis.token_entropy.measures import summary
    from analysis.token_entropy.samplers import sampler_panel

_WHERE = {
    "AnalysisError": "analysis.errors",
    "Cancelled": "analysis.errors",
    "LanguageModel": "analysis.models.loading",
    "ModelSpec": "analysis.models.spec",
    "Trace": "analysis.forward.results",
    "load_model": "analysis.models.loading",
    "load_trace": "analysis.files",
    "plan_run": "analysis.models.preflight",
    "sampler_panel": "analysis.token_entropy.samplers",
    "summary": "analysis.token_entropy.measures",
    "trace": "analysis.forward.trace",
}

__all__ = [
    "AnalysisError",
    "Cancelled",
    "LanguageModel",
    "ModelSpec",
    "Trace",
    "figures",
    "load_model",
    "load_trace",
    "plan_run",
    "sampler_panel",
    "summary",
    "trace",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "figures":
        return importlib.import_module("analysis.figures")
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
