"""One comparison of evictions as a person asked for it, and its work."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from analysis.pruning_effects.eviction.estimate import context_tokens, sweep_seconds
from app.compute import requests as runs

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.pruning_effects.eviction.policies import Policy
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace
    from app.compute.job import Job

ONCE, STEPWISE = "once", "step by step"
AFTER = 64
"""Tokens at the end of a text that are its continuation, unless a person says otherwise."""
STANDARD_POLICIES = ("streaming", "knorm", "tova", "h2o", "expected", "snapkv")
STANDARD_KEPT = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)


@dataclass(frozen=True)
class SweepRequest:
    """One comparison as a person asked for it."""

    context: str
    continuation: str
    answer: str
    policies: tuple[str, ...]
    kept: tuple[float, ...]
    seeds: int
    constants: tuple[tuple[str, float | str], ...] = ()
    """What was chosen for constants of the methods, by the keys of their controls."""
    evicted: str = ONCE
    """Once after the context, or step by step while the continuation is read."""

    def experiment(self, request: runs.RunRequest) -> runs.Experiment:
        """The experiment it is, for the run on screen."""
        return runs.Experiment(request, "eviction", tuple(asdict(self).items()))

    def methods(self) -> list[Policy]:
        """Methods with their constants."""
        from analysis.pruning_effects.eviction.policies import policy

        return [policy(name).with_constants(dict(self.constants)) for name in self.policies]

    def methods_key(self) -> tuple[tuple[str, object], ...]:
        """What decides the methods, for the key of an experiment."""
        return (("policies", self.policies), ("constants", self.constants))

    def methods_code(self) -> tuple[str, str]:
        """Import lines and the list of methods, as notebook code."""
        from analysis.pruning_effects.eviction.policies import policy

        changed = [m.name if m == policy(m.name) else m for m in self.methods()]
        kinds = {type(m) for m in changed if not isinstance(m, str)}
        imports = "".join(sorted(f"from {kind.__module__} import {kind.__name__}\n" for kind in kinds))
        return imports, repr(changed)

    def n_settings(self) -> int:
        """Settings that are run, the full cache included."""
        methods = [m for m in self.methods() if m.stepwise or self.evicted == ONCE]
        return 1 + sum(len(self.kept) * (self.seeds if m.is_random else 1) for m in methods)

    def seconds(self, trace: Trace) -> float:
        """What it will take, from the speed of a run of the same model."""
        after, stepwise = len(self.continuation) + len(self.answer), self.evicted == STEPWISE
        return sweep_seconds(trace, self.context, after, self.n_settings(), stepwise=stepwise)

    def code(self, trace: Trace) -> str:
        """Notebook lines that compute the sweep, after those that make the run."""
        cut = trace.text.startswith(self.context)
        context = f"trace.text[:{len(self.context)}]" if cut else repr(self.context)
        imports, methods = self.methods_code()
        answer = f"answer={self.answer!r}, " if self.answer else ""
        sweep = "sweep_eviction" if self.evicted == ONCE else "sweep_decoding"
        return (
            f"{imports}sweep = an.{sweep}(\n    model, {context}, {self.continuation!r},\n"
            f"    {methods},\n    {list(self.kept)}, {answer}seeds={self.seeds}{tokenization_code(trace)},\n)\n"
        )


def after_context(trace: Trace, wanted: int = AFTER) -> int:
    """Tokens at the end of a run that are the continuation: as many as wanted, at most half."""
    return max(1, min(wanted, len(trace.tokens) // 2))


def standard(trace: Trace) -> SweepRequest:
    """The comparison that every run gets: its end read after the rest was pruned by the best-known methods."""
    from analysis.pruning_effects.eviction.policies.observation import OBSERVATION

    n, after = len(trace.tokens), after_context(trace)
    cut = int(trace.tokens.start[n - after])
    window = OBSERVATION.automatic(context_tokens(trace, trace.text[:cut]))
    constants = ((OBSERVATION.key, window),)
    return SweepRequest(
        trace.text[:cut], trace.text[cut:], "", STANDARD_POLICIES, STANDARD_KEPT, 1, constants
    )


def compute(sweep_request: SweepRequest, request: runs.RunRequest) -> Any:
    """Work of one comparison, for :func:`app.compute.requests.submit_experiment`."""

    def work(model: LanguageModel, job: Job) -> Sweep:
        from analysis.pruning_effects.eviction.decoding import sweep_decoding
        from analysis.pruning_effects.eviction.sweep import sweep_eviction

        sweep = sweep_decoding if sweep_request.evicted == STEPWISE else sweep_eviction
        return sweep(
            model,
            sweep_request.context,
            sweep_request.continuation,
            sweep_request.methods(),
            sweep_request.kept,
            answer=sweep_request.answer,
            seeds=sweep_request.seeds,
            on_progress=job.report,
            on_partial=job.show,
            **tokenization_options(request),
        )

    return work


def tokenization_options(request: runs.RunRequest) -> dict[str, Any]:
    """How the texts of a comparison become tokens: as in the run on screen."""
    return {"bos": request.bos, "parse_special": request.parse_special}


def tokenization_code(trace: Trace) -> str:
    """The same as arguments of a notebook call; nothing where the run has the defaults."""
    bos = "" if trace.spec.bos == "auto" else f", bos={trace.spec.bos!r}"
    return bos if trace.spec.parse_special else f"{bos}, parse_special=False"
