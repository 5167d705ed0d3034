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
``attention_sinks``   where every head looks, and what happens without it
``entropy_collapse``  what the layers do to a text
``pruning_effects``   what a model can forget, and what it costs
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
    from analysis.attention_sinks.experiments import break_sink, surprisal_change
    from analysis.attention_sinks.extremes import extreme_tokens
    from analysis.attention_sinks.maps import head_map_block
    from analysis.attention_sinks.streaming import streaming_curves
    from analysis.entropy_collapse.labs.backcopy.results import BackcopySettings
    from analysis.entropy_collapse.labs.backcopy.training import train_backcopy
    from analysis.entropy_collapse.labs.four_squares.grpo import run_lab
    from analysis.entropy_collapse.labs.four_squares.results import LabSettings
    from analysis.entropy_collapse.layers.checkpoints import compare_checkpoints, compare_models, model_shape
    from analysis.entropy_collapse.layers.curves import collapse_layer, layer_curve
    from analysis.entropy_collapse.training.law import fit_law
    from analysis.entropy_collapse.training.logs import read_training_log, read_training_logs
    from analysis.entropy_collapse.training.onset import collapse_onset
    from analysis.errors import AnalysisError, Cancelled
    from analysis.forward.plan import plan_run
    from analysis.forward.trace import trace
    from analysis.models.loading import LanguageModel, load_model
    from analysis.models.spec import ModelSpec
    from analysis.models.untrained import untrained_twin
    from analysis.pruning_effects.compression.compress import compress
    from analysis.pruning_effects.compression.sweep import sweep_compression
    from analysis.pruning_effects.eviction.costs import bill, shape_of
    from analysis.pruning_effects.eviction.decoding import sweep_decoding
    from analysis.pruning_effects.eviction.generation import generate_greedy
    from analysis.pruning_effects.eviction.knock_out import knock_out_horizon
    from analysis.pruning_effects.eviction.needle import needle_grid
    from analysis.pruning_effects.eviction.physical_cache import physical_costs
    from analysis.pruning_effects.eviction.stability import rank_stability
    from analysis.pruning_effects.eviction.sweep import sweep_eviction
    from analysis.results.trace import Trace
    from analysis.results.trace_file import load_trace
    from analysis.token_entropy.measures import summary
    from analysis.token_entropy.samplers import sampler_panel, sampler_view

_WHERE = {
    "AnalysisError": "analysis.errors",
    "BackcopySettings": "analysis.entropy_collapse.labs.backcopy.results",
    "Cancelled": "analysis.errors",
    "LabSettings": "analysis.entropy_collapse.labs.four_squares.results",
    "LanguageModel": "analysis.models.loading",
    "ModelSpec": "analysis.models.spec",
    "Trace": "analysis.results.trace",
    "bill": "analysis.pruning_effects.eviction.costs",
    "break_sink": "analysis.attention_sinks.experiments",
    "collapse_layer": "analysis.entropy_collapse.layers.curves",
    "collapse_onset": "analysis.entropy_collapse.training.onset",
    "compare_checkpoints": "analysis.entropy_collapse.layers.checkpoints",
    "compare_models": "analysis.entropy_collapse.layers.checkpoints",
    "compress": "analysis.pruning_effects.compression.compress",
    "extreme_tokens": "analysis.attention_sinks.extremes",
    "fit_law": "analysis.entropy_collapse.training.law",
    "generate_greedy": "analysis.pruning_effects.eviction.generation",
    "head_map_block": "analysis.attention_sinks.maps",
    "knock_out_horizon": "analysis.pruning_effects.eviction.knock_out",
    "layer_curve": "analysis.entropy_collapse.layers.curves",
    "load_model": "analysis.models.loading",
    "load_trace": "analysis.results.trace_file",
    "model_shape": "analysis.entropy_collapse.layers.checkpoints",
    "needle_grid": "analysis.pruning_effects.eviction.needle",
    "physical_costs": "analysis.pruning_effects.eviction.physical_cache",
    "plan_run": "analysis.forward.plan",
    "rank_stability": "analysis.pruning_effects.eviction.stability",
    "read_training_log": "analysis.entropy_collapse.training.logs",
    "read_training_logs": "analysis.entropy_collapse.training.logs",
    "run_lab": "analysis.entropy_collapse.labs.four_squares.grpo",
    "sampler_panel": "analysis.token_entropy.samplers",
    "sampler_view": "analysis.token_entropy.samplers",
    "shape_of": "analysis.pruning_effects.eviction.costs",
    "streaming_curves": "analysis.attention_sinks.streaming",
    "summary": "analysis.token_entropy.measures",
    "surprisal_change": "analysis.attention_sinks.experiments",
    "sweep_compression": "analysis.pruning_effects.compression.sweep",
    "sweep_decoding": "analysis.pruning_effects.eviction.decoding",
    "sweep_eviction": "analysis.pruning_effects.eviction.sweep",
    "trace": "analysis.forward.trace",
    "train_backcopy": "analysis.entropy_collapse.labs.backcopy.training",
    "untrained_twin": "analysis.models.untrained",
}

__all__ = [
    "AnalysisError",
    "BackcopySettings",
    "Cancelled",
    "LabSettings",
    "LanguageModel",
    "ModelSpec",
    "Trace",
    "bill",
    "break_sink",
    "collapse_layer",
    "collapse_onset",
    "compare_checkpoints",
    "compare_models",
    "compress",
    "extreme_tokens",
    "figures",
    "fit_law",
    "generate_greedy",
    "head_map_block",
    "knock_out_horizon",
    "layer_curve",
    "load_model",
    "load_trace",
    "model_shape",
    "needle_grid",
    "physical_costs",
    "plan_run",
    "rank_stability",
    "read_training_log",
    "read_training_logs",
    "run_lab",
    "sampler_panel",
    "sampler_view",
    "shape_of",
    "streaming_curves",
    "summary",
    "surprisal_change",
    "sweep_compression",
    "sweep_decoding",
    "sweep_eviction",
    "trace",
    "train_backcopy",
    "untrained_twin",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "figures":
        return importlib.import_module("analysis.figures")
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
