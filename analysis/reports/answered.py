"""The report of an answer about a picture: its written tokens, and where each of them looked."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from analysis.drawing.numbers import significant
from analysis.reports.charts import Linked
from analysis.reports.page import Page, Report, table, words
from analysis.reports.parts import add_checks, add_spec, add_strips, add_token
from analysis.reports.picture import add_picture
from analysis.results.token_quantities import quantities_of
from analysis.token_entropy.strips import entropy_strip
from analysis.units import Unit, from_nats
from analysis.visual_tokens.findings import answer_finding
from analysis.visual_tokens.layer_figures import visual_layers
from analysis.visual_tokens.looking_figures import attention_shares
from analysis.visual_tokens.results import SINK_FACTOR, VisualAnswer
from analysis.visual_tokens.sinks import named_sinks

MOST_SINKS = 20
"""Visual sinks that are listed, those with the largest share first."""
_METHOD = (
    "The model cuts the picture into patches and reads each as one visual token. Before it writes a token, every head "
    "gives each position before it a share of its attention; the shares add up to 1. They are the weights of the "
    "model's own softmax, taken while it wrote. Attention says where a model reads, not why it answers.",
    "MDI, the modality dominance index, is the attention of a text token over that of a visual token, each a mean over "
    "its kind, position 0 left out: above 1 text gets more than its number of tokens says.",
    "Matrix entropy is the entropy of the eigenvalues of the states' Gram matrix, states centred, normalised row by row, "
    "and the matrix divided by its trace: it falls where states become alike.",
)


def answer_report(a: VisualAnswer, *, unit: Unit = "nats") -> Report:
    """An answer as one file, its picture inside. A choice is a written token.

    Parameters
    ----------
    a : VisualAnswer
        From :func:`analysis.ask` or a file.
    unit : {"nats", "bits"}
        Unit of information.
    """
    page = Page("An answer about a picture", a.spec.subtitle, chosen=0 if len(a.tokens) else -1)
    add_numbers(page, a, unit)
    strips = {
        quantity.label: entropy_strip(a.tokens, name, unit=unit, vocab_size=a.spec.vocab_size)
        for name, quantity in quantities_of(a.tokens).items()
    }
    add_strips(page, "The answer, token by token", strips)
    add_token(page, "The chosen token", a.tokens, unit, place="narrow")
    add_picture(page, a)
    page.add_chart(
        "Picture or text, layer by layer",
        partial(_shares, a),
        caption="Where the chosen token's attention goes in each layer, mean over heads.",
        linked=Linked("token", only=True),
    )
    add_sinks(page, a)
    if np.isfinite(a.layers.matrix_entropy_visual).any():
        page.add_chart(
            "Variety of the states, layer by layer",
            lambda name: visual_layers(a, unit=unit, theme_name=name),
            caption="Matrix entropy of the visual tokens' states and of the text's, before anything was written; "
            "the dashed line leaves token 0 out.",
        )
    add_checks(page, (*a.checks, *a.trace.checks), (*a.notes, *a.picture.notes), a.unavailable)
    page.add("How it is measured", "".join(f"<p>{words(said)}</p>" for said in _METHOD))
    versions = {f"version of {name}": version for name, version in a.trace.versions.items()}
    add_spec(page, {**asdict(a.spec), **versions})
    return page.report()


def add_numbers(page: Page, a: VisualAnswer, unit: Unit) -> None:
    """Question, answer, and the numbers of the answer as a whole."""
    found = answer_finding(a)
    rows: list[tuple[object, ...]] = [
        ("question", a.spec.question),
        ("answer", a.text or "nothing"),
        ("probability of the whole answer", f"{significant(100 * found.probability)} %"),
        (f"mean entropy, {unit}", significant(from_nats(found.entropy, unit))),
        ("attention on the picture", f"{significant(100 * found.picture)} %"),
        ("MDI, median over layers", significant(found.mdi)),
    ]
    page.add("Question and answer", table(("", ""), rows))


def _shares(a: VisualAnswer, theme_name: str) -> dict[str, Any]:
    """Shares of every written token in one chart that draws those of the chosen token."""
    specs = [attention_shares(a, token, theme_name=theme_name).to_dict() for token in range(len(a.tokens))]
    rows = [
        {**row, "token": token}
        for token, spec in enumerate(specs)
        for row in spec["datasets"][spec["data"]["name"]]
    ]
    # every kind of position that any of the tokens attends to has a colour
    whole: dict[str, Any] = max(specs, key=lambda spec: len(spec["datasets"][spec["data"]["name"]]))
    return whole | {"datasets": {whole["data"]["name"]: rows}}


def add_sinks(page: Page, a: VisualAnswer) -> None:
    """Visual tokens that get attention whatever is read, or whose state is massive."""
    sinks = named_sinks(a)
    rows: list[tuple[object, ...]] = [
        (
            sink.token,
            sink.where,
            _layers(sink.by_attention),
            _layers(sink.by_state),
            f"{significant(100 * sink.share)} %",
        )
        for sink in sinks[:MOST_SINKS]
    ]
    head = ("patch", "lies at", "sink by attention in layers", "sink by its state in layers", "share")
    more = f" The first {MOST_SINKS} of {len(sinks)} are listed." if len(sinks) > MOST_SINKS else ""
    page.add(
        "Visual sinks",
        table(head, rows, kind="worded") if rows else "<p>No patch is a sink in any layer.</p>",
        caption=f"By attention: over {SINK_FACTOR} times an even share of what a row spends on the picture, in at least half "
        "of the rows after it. By its state: massive in a dimension in which the first token's state is. Share: of the "
        f"attention on the picture in the layers in which it is a sink by attention, else in all.{more}",
    )


def _layers(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "none"
