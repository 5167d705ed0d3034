"""Every method, measure, rule and law of the project by one key, with what the code says of how it differs from its source.

Methods of a registry follow from it. The rest are functions, named in :data:`MEASURES`: what differs is said in their
docstrings, under Notes and References.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Literal

Picture = Literal[
    "Token entropy",
    "Attention sinks",
    "Entropy collapse",
    "Pruning effects",
    "Visual tokens",
    "Write",
    "Compare",
]

MEASURES: dict[str, tuple[str, str]] = {
    "token/forking": ("forking tokens", "token_entropy.measures.forking_tokens"),
    "token/windows": ("high-entropy windows", "token_entropy.measures.high_entropy_windows"),
    "token/threshold": ("moving threshold", "token_entropy.measures.moving_threshold"),
    "token/quadrants": ("quadrants of entropix", "token_entropy.measures.quadrants"),
    "sinks/rate": ("sink rate", "attention_sinks.measures.sink_rate"),
    "sinks/classes": ("classes of heads", "attention_sinks.measures.head_classes"),
    "sinks/triad": ("the triad", "attention_sinks.measures.triad"),
    "sinks/emergence": ("where the largest state appears", "attention_sinks.measures.emergence"),
    "sinks/massive": ("massive activations", "attention_sinks.massive.is_massive"),
    "sinks/drain": ("drain of values", "attention_sinks.massive.output_drain"),
    "sinks/difference": ("active or dormant heads", "attention_sinks.figures.sink_difference"),
    "sinks/streaming": ("streaming", "attention_sinks.streaming.streaming_curves"),
    "sinks/break": ("without the sink", "attention_sinks.experiments.break_sink"),
    "layer/collapse": ("the collapse layer", "entropy_collapse.layers.curves.collapse_layer"),
    "layer/RankMe": ("RankMe", "results.spectra.effective_rank_singular"),
    "layer/Diff-eRank": ("Diff-eRank", "entropy_collapse.layers.checkpoints.model_shape"),
    "layer/phases": ("phases over checkpoints", "entropy_collapse.layers.checkpoints.phases"),
    "training/law": ("law of reward and entropy", "entropy_collapse.training.law.fit_law"),
    "training/onset": ("onset of collapse", "entropy_collapse.training.onset.collapse_onset"),
    "training/spent": ("entropy spent", "entropy_collapse.training.onset.entropy_spent"),
    "lab/pass@k": ("pass@k in the lab", "entropy_collapse.labs.four_squares.answers.pass_at"),
    "lab/answer entropy": ("answer entropy", "entropy_collapse.labs.four_squares.answers.answer_entropy"),
    "lab/covariance": ("covariance", "entropy_collapse.labs.four_squares.predictions.covariance"),
    "lab/backcopy": ("bigram-backcopy", "entropy_collapse.labs.backcopy.task.BackcopyTask"),
    "pruning/horizon": ("knock-out horizon", "pruning_effects.eviction.knock_out.knock_out_horizon"),
    "pruning/overlap": ("agreement of methods", "pruning_effects.eviction.overlap.jaccard"),
    "pruning/stability": ("stability of rankings", "pruning_effects.eviction.stability.rank_stability"),
    "pruning/survival": ("survival of tokens", "pruning_effects.eviction.overlap.survival"),
    "pruning/needle": ("needle test", "pruning_effects.eviction.needle.needle_grid"),
    "pruning/costs": ("costs of a cache", "pruning_effects.eviction.costs.bill"),
    "answers/entropy": ("answer entropy", "writing.answer_entropy.answer_entropy"),
    "answers/weighted entropy": (
        "weighted answer entropy",
        "writing.answer_entropy.weighted_answer_entropy",
    ),
    "answers/self-certainty": ("self-certainty", "writing.answer_entropy.self_certainty"),
    "answers/borda": ("votes by self-certainty", "writing.answer_entropy.borda_votes"),
    "answers/confidence vote": ("votes by confidence", "writing.rules.deepconf.weighted_vote"),
    "answers/pass@k": ("pass@k", "writing.pass_at.pass_at_k"),
    "answers/thinking": ("thinking tokens", "writing.rules.thinking.thinking_of"),
    "answers/difficulty": ("entropy against difficulty", "writing.difficulty.difficulty"),
    "answers/steering": ("steering of entropy", "writing.steering.steering_vector"),
    "compared/published rows": ("published statistics", "comparison.published.published_rows"),
    "compared/k1": ("k1", "comparison.sampled.k1"),
    "compared/k2": ("k2", "comparison.sampled.k2"),
    "compared/k3": ("k3", "comparison.sampled.k3"),
    "compared/interval": ("intervals", "comparison.bootstrap.resampled"),
    "compared/adapter": ("an adapter beside the weights", "comparison.adapters"),
    "compared/round trip": ("rounded weights", "comparison.round_trip"),
    "compared/packed weights": ("weights of few bits", "models.packed"),
    "visual-measure/horizon": ("horizon of the image", "visual_tokens.horizon.image_knock_out"),
    "visual-measure/window information": (
        "what windows carry",
        "visual_tokens.horizon.window_information",
    ),
    "visual-measure/balance": ("balance of text and image", "visual_tokens.measures.modality_balance"),
    "visual-measure/sinks": ("visual sinks", "visual_tokens.measures.visual_sinks"),
    "visual-measure/interval": ("interval of a share", "visual_tokens.intervals.wilson"),
}
"""What no registry holds: its label, and the function (or the module) that does it."""

PICTURES: dict[str, Picture] = {
    "token": "Token entropy",
    "lens": "Token entropy",
    "sampler": "Write",
    "head": "Attention sinks",
    "sinks": "Attention sinks",
    "layer": "Entropy collapse",
    "training": "Entropy collapse",
    "training-lab": "Entropy collapse",
    "lab": "Entropy collapse",
    "eviction": "Pruning effects",
    "pruning": "Pruning effects",
    "compression": "Pruning effects",
    "visual": "Visual tokens",
    "visual-measure": "Visual tokens",
    "rule": "Write",
    "answers": "Write",
    "comparison": "Compare",
    "change": "Compare",
    "compared": "Compare",
}
"""Where each kind of method is seen."""


@dataclass(frozen=True)
class Method:
    """One method, measure, rule or law."""

    key: str
    """Kind and name: "eviction/h2o"."""
    label: str
    """As a person reads it."""
    differs: str = ""
    """In what it differs from its source, as its own code says; empty where it says nothing."""

    @property
    def kind(self) -> str:
        """First part of the key."""
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        """Second part of the key."""
        return self.key.partition("/")[2]

    @property
    def picture(self) -> Picture:
        """Where it is seen."""
        return PICTURES[self.kind]


@cache
def methods() -> Mapping[str, Method]:
    """All of them by their keys; imports all that has one."""
    kinds = (_of_tokens, _of_layers, _of_training, _of_pruning, _of_images, _of_writing, _of_sides)
    found = [method for kind in kinds for method in kind()]
    found += [Method(key, label, said(place)) for key, (label, place) in MEASURES.items()]
    return {method.key: method for method in found}


def said(place: str) -> str:
    """What the docstring of a function or class says under Notes and References, and after "Source:", a paragraph each.

    Parameters
    ----------
    place : str
        Dotted name below ``analysis``, such as ``attention_sinks.measures.sink_rate``; a module says all of its own.
    """
    found = _object(place)
    text = inspect.getdoc(found) or ""
    if inspect.ismodule(found):
        return _flat("\n".join(text.splitlines()[1:]))
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", text, flags=re.M)
    by_heading = dict(zip(parts[1::2], parts[2::2], strict=True))
    found_parts = [by_heading[name] for name in ("Notes", "References") if name in by_heading]
    found_parts += [part for part in parts[0].split("\n\n") if part.startswith("Source:")]
    return "\n\n".join(_flat(part.removeprefix("Source:")) for part in found_parts)


def _object(place: str) -> object:
    try:
        return import_module(f"analysis.{place}")
    except ModuleNotFoundError:
        module, _, name = place.rpartition(".")
        return getattr(import_module(f"analysis.{module}"), name)


def _flat(text: str) -> str:
    """Text of a docstring as a sentence: no marks of reStructuredText."""
    names = re.sub(r":\w+:`~?(?:[\w.]*\.)?([\w]+)`", r"\1", text)
    return " ".join(names.replace("``", "").split())


def _of_tokens() -> Iterator[Method]:
    from analysis.results.token_quantities import TOKEN_QUANTITIES
    from analysis.token_entropy.lens_window import LENS_QUANTITIES

    for name, quantity in TOKEN_QUANTITIES.items():
        yield Method(f"token/{name}", quantity.label)
    for name, lens in LENS_QUANTITIES.items():
        yield Method(f"lens/{name}", f"logit lens: {lens.label}")


def _of_layers() -> Iterator[Method]:
    from analysis.attention_sinks.figures import HEAD_QUANTITIES
    from analysis.entropy_collapse.layers.curves import QUANTITIES

    for head, (_column, title) in HEAD_QUANTITIES.items():
        yield Method(f"head/{head}", title)
    sources = {
        "matrix entropy": "results.spectra.eigenvalue_shares",
        "rank, singular values": "results.spectra.effective_rank_singular",
        "alpha-ReQ": "results.spectra.alpha_req",
        "curvature": "results.spectra.turning_angles",
    }
    for layer in QUANTITIES:
        yield Method(f"layer/{layer}", layer, said(sources[layer]) if layer in sources else "")


def _of_training() -> Iterator[Method]:
    from analysis.entropy_collapse.labs.four_squares.interventions import RESCALED

    for name, intervention in RESCALED.items():
        label, kind = "plain GRPO" if name == "none" else name, type(intervention)
        yield Method(f"training-lab/{name}", label, said(f"{kind.__module__[9:]}.{kind.__name__}"))


def _of_pruning() -> Iterator[Method]:
    from analysis.pruning_effects.compression.compress import SCORES
    from analysis.pruning_effects.eviction.policies import POLICIES, Policy
    from analysis.pruning_effects.eviction.policies.knock_out import KnockOut

    kinds: list[type[Policy]] = [*POLICIES.values(), KnockOut]
    for kind in kinds:
        yield Method(f"eviction/{kind.name}", kind.label, kind.source)
    for name, score in SCORES.items():
        yield Method(f"compression/{name}", name, said(f"{score.__module__[9:]}.{score.__name__}"))


def _of_images() -> Iterator[Method]:
    from analysis.visual_tokens.policies.registry import POLICIES

    for name, kind in POLICIES.items():
        yield Method(f"visual/{name}", kind.label, f"{kind.source} {kind.deviations}".strip())


def _of_writing() -> Iterator[Method]:
    from analysis.writing.rules.overlays import KNOWN
    from analysis.writing.sampler_chain import SAMPLERS

    sources = {
        "top-h": "token_entropy.truncation.top_h_of_the_paper",
        "top-h-paper": "token_entropy.truncation.top_h_of_the_paper",
        "typical": "token_entropy.orders.typical_order",
        "repetition-penalty": "writing.sampling.penalised",
    }
    for name, info in SAMPLERS.items():
        yield Method(f"sampler/{name}", info.label, said(sources[name]) if name in sources else "")
    for name, known in KNOWN.items():
        yield Method(f"rule/{name}", name, known)


def _of_sides() -> Iterator[Method]:
    from analysis.comparison.quantities import COMPARED_QUANTITIES
    from analysis.comparison.rules.registry import RULES

    for name, rule in RULES.items():
        yield Method(
            f"comparison/{name}", rule.label, f"{rule.origin.known.capitalize()}. {rule.origin.note}"
        )
    for name, quantity in COMPARED_QUANTITIES.items():
        yield Method(f"change/{name}", quantity.label)
