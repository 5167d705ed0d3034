"""Two sides of one thing: both read their text, one model after the other, and every token is compared."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import torch

from analysis.comparison.checks import checks_of_rows, checks_of_sides
from analysis.comparison.differences import differences
from analysis.comparison.matching import aligned, vocabulary_of_sides
from analysis.comparison.measured import Measured, head_on, measure
from analysis.comparison.pairs import about_pairs, paired_states
from analysis.comparison.plan import ComparisonPlan, plan_comparison, require_room
from analysis.comparison.results import Comparison
from analysis.comparison.sides import Side, free_unused, opened, same_source, second_model, spec_of
from analysis.comparison.spans import compared_spans
from analysis.comparison.structure import why_no_structure
from analysis.comparison.two_heads import compare_rows
from analysis.comparison.waiting import on_host
from analysis.errors import OutOfMemoryError
from analysis.models.loading import LanguageModel, load_model
from analysis.models.token_names import token_texts
from analysis.out_of_memory import is_out_of_memory
from analysis.progress import Progress, part, silent
from analysis.results.trace import Trace

_RUN = 0.4
"""Share of the progress of one side's run; what is left is the vocabulary heads'."""
SAME = "Both sides are the same run: nothing differs, and every difference is exactly zero."
"""Said of a side that is compared with itself."""
EQUAL = "Nothing differs: both sides predict the same, to the bit."
"""Said where the sides differ in a setting that changes nothing here."""


def compare(
    a: Side | Trace, b: Side | Trace, *, top_k: int = 10, on_progress: Progress | None = None
) -> Comparison:
    """Compare two sides token by token, over the whole vocabulary.

    Parameters
    ----------
    a, b : Side or Trace
        What is compared. A run alone is one of another machine: its distributions can be compared where the other
        side has the model that made it.
    top_k : int, default 10
        Alternatives kept per token and side.
    on_progress : callable, optional
        ``on_progress(share, what)``.

    Returns
    -------
    Comparison
        What cannot be compared is None, and its ``unavailable`` says why.

    Raises
    ------
    AnalysisError
        Each with what to do: texts without a common stretch, models that do not fit, and whatever stops a run.

    Notes
    -----
    A model that a side names is loaded when its turn comes and dropped before the other's, so two models need the
    memory of the larger one, and of the other's vocabulary head.
    """
    report = on_progress or silent
    one, other = (_side(side) for side in (a, b))
    plan = plan_comparison(one, other)
    require_room(plan)
    one, other = _with_shared_model(one, other)
    same = one.same_run(other)
    began = time.perf_counter()
    measured_a = _run(one, top_k, part(report, 0, 1, of=_RUN, name="A"))
    after_a = time.perf_counter()
    if same:
        measured_b = measured_a
    else:
        with _first_stays_loaded(one), _waiting(one, plan):
            measured_b = _run(other, top_k, part(report, _RUN, 1, of=_RUN, name="B"))
    seconds = {"A": after_a - began, "B": time.perf_counter() - after_a}
    measured_a, measured_b = measured_a.with_head_of(measured_b), measured_b.with_head_of(measured_a)
    return _compared(measured_a, measured_b, top_k, seconds, part(report, 2 * _RUN, 1, of=1 - 2 * _RUN))


def _side(side: Side | Trace) -> Side:
    if isinstance(side, Side):
        return side
    return Side(None, side.text, trace=side)


def _with_shared_model(a: Side, b: Side) -> tuple[Side, Side]:
    """Both sides with one loaded model where they name the same one."""
    if isinstance(a.model, LanguageModel) or not same_source(a, b):
        return a, b
    model = load_model(spec_of(a))
    return replace(a, model=model), replace(b, model=model)


def _run(side: Side, top_k: int, report: Progress) -> Measured:
    if side.model is None:
        assert side.trace is not None
        return Measured(side.trace)
    with opened(side) as model:
        found = measure(side, model, top_k, report)
        del model
    if second_model(side):
        free_unused()
    return found


def _waiting(first: Side, plan: ComparisonPlan) -> AbstractContextManager[None]:
    if plan.way == "A waits" and isinstance(first.model, LanguageModel):
        return on_host(first.model)
    return nullcontext()


@contextmanager
def _first_stays_loaded(first: Side) -> Iterator[None]:
    """Say, where memory runs out with the second side, that the first one is as it was."""
    stays = " Side A stays loaded." if isinstance(first.model, LanguageModel) else ""
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemoryError):
            raise OutOfMemoryError(f"Side B: {error.message}{stays}", error.hint) from error
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"The memory ran out with side B.{stays}",
            "Shorten the text, choose a smaller model or a lower precision, or free the device.",
        ) from error


def _compared(
    a: Measured, b: Measured, top_k: int, seconds: dict[str, float], report: Progress
) -> Comparison:
    began = time.perf_counter()
    vocabulary = vocabulary_of_sides(a, b)
    alignment = aligned(a.trace, b.trace, vocabulary)
    found = Comparison(
        a=a.trace,
        b=b.trace,
        differs=differences(a.trace, b.trace),
        alignment=alignment,
        vocabulary=vocabulary,
        spans=compared_spans(a.trace.tokens, b.trace.tokens, alignment),
        checks=checks_of_sides(a.trace, b.trace),
        notes=(SAME,) if a.trace is b.trace else (),
    )
    unavailable = {"rows": why_no_rows(a, b, found), "structure": why_no_structure(a.trace, b.trace)}
    found = replace(found, unavailable={name: why for name, why in unavailable.items() if why})
    if "rows" not in found.unavailable:
        found = _with_rows(found, a, b, top_k, report)
    report(1.0, "done")
    return replace(found, seconds=seconds | {"comparison": time.perf_counter() - began})


def why_no_rows(a: Measured, b: Measured, c: Comparison) -> str:
    """Why distributions cannot be compared, in a sentence; empty if they can."""
    if c.vocabulary.kind == "different":
        return c.vocabulary.why
    if not len(c.alignment.pairs):
        return "No token of one side is a token of the other."
    missing = {name: side.missing for name, side in (("A", a), ("B", b)) if side.missing}
    return " ".join(f"Side {name}: {why}" for name, why in missing.items())


def _with_rows(c: Comparison, a: Measured, b: Measured, top_k: int, report: Progress) -> Comparison:
    assert a.head is not None and b.head is not None
    device = b.head.weight.device
    with torch.inference_mode():
        pairs = paired_states(c.a, c.b, c.alignment, head_on(a.head, device), head_on(b.head, device))
        if not len(pairs):
            why = "No token had a context on both sides."
            return replace(c, unavailable=c.unavailable | {"rows": why})
        done, of = 0, len(pairs)

        def on_rows(n: int) -> None:
            nonlocal done
            done += n
            report(done / of, "both vocabulary heads")

        rows = compare_rows(pairs.a, pairs.b, pairs.targets_a, pairs.targets_b, c.vocabulary, top_k, on_rows)
        checks = checks_of_rows(c, rows, pairs)
    whole = about_pairs(rows, pairs.of, len(c.alignment.pairs))
    c = replace(c, rows=whole, checks=(*checks, *c.checks))
    if c.a is not c.b and not rows.tv.any():
        c = replace(c, notes=(*c.notes, EQUAL))
    named_a = _named(c.a, a, whole.top_ids_a)
    return replace(c, a=named_a, b=named_a if c.a is c.b else _named(c.b, b, whole.top_ids_b))


def _named(run: Trace, side: Measured, ids: np.ndarray) -> Trace:
    """The run with a name for every token of these lists."""
    more = {int(i) for i in np.unique(ids)} - run.tokens.names.keys() - {-1}
    if not more or side.tokenizer is None:
        return run
    names = run.tokens.names | token_texts(side.tokenizer, more)
    return replace(run, tokens=replace(run.tokens, names=names))
