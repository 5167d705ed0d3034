"""The report of what was written: the tree, and one branch of it token by token."""

from __future__ import annotations

import numpy as np

from analysis.reports.page import Page, Report, table
from analysis.reports.parts import add_checks, add_spec, add_strips, add_token
from analysis.results.token_quantities import quantities_of
from analysis.token_entropy.strips import entropy_strip
from analysis.units import Unit
from analysis.writing.compare import label_of
from analysis.writing.results import Writing
from analysis.writing.tree_figures import branches

_ENDS = {
    "stop": "stop token",
    "limit": "number of tokens asked for",
    "stopped": "a person stopped it",
    "context": "the model's context was full",
}


def writing_report(w: Writing, branch: int | None = None, *, unit: Unit = "nats") -> Report:
    """A prompt and its branches as one file.

    Parameters
    ----------
    w : Writing
        A prompt and at least one branch.
    branch : int, optional
        The one that is shown token by token; the newest by default.
    unit : {"nats", "bits"}
        Unit of information.
    """
    shown = w.require(branch)
    tokens, n_prompt = w.tokens(shown), len(w.prompt.ids)
    written = tokens.entropy[n_prompt:]
    chosen = n_prompt + int(np.argmax(written)) if len(written) else len(tokens) - 1
    page = Page("What a model wrote", f"{w.model} · {w.dtype} · {n_prompt} tokens of prompt", chosen=chosen)
    span = np.arange(len(tokens)) >= n_prompt
    vocabulary = max(max(w.names.names, default=1), 1) + 1
    strips = {
        quantity.label: entropy_strip(
            tokens, name, unit=unit, vocab_size=vocabulary, span=span, span_name="written by the model"
        )
        for name, quantity in quantities_of(tokens).items()
    }
    add_strips(page, f"Prompt and {label_of(w.branches[shown])}, token by token", strips)
    add_token(page, "The chosen token", tokens, unit, place="narrow tall")
    if len(w.branches) > 1:
        page.add_chart(
            "All branches",
            lambda name: branches(w, shown, theme_name=name),
            caption="Equal beginnings once, thicker where more branches pass; in ink the one that is shown above.",
            place="beside",
        )
    rows: list[tuple[object, ...]] = [
        (label_of(b), str(len(b)), _ENDS[b.ended], _drawn(w, b.id), w.written(b.id)) for b in w.branches
    ]
    page.add("Every branch", table(("", "tokens", "ended by", "drawn by", "text"), rows), place="beside")
    checks = tuple(check for b in w.branches for check in b.checks)
    add_checks(page, checks, (*w.prompt.notes, *w.notes))
    add_spec(page, {"model": w.model, "revision": w.revision, "dtype": w.dtype, "prompt": w.prompt.text})
    return page.report()


def _drawn(w: Writing, branch: int) -> str:
    """How a branch's tokens were drawn, in words."""
    samplers = w.branches[branch].samplers
    if samplers.is_greedy:
        return "the most probable token"
    steps = ", ".join(f"{name} {setting:g}" for name, setting in samplers.steps)
    return f"{steps}, seed {samplers.seed}, sample {w.branches[branch].sample}"
