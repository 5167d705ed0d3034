"""The report of a run: its text, the chosen token, where heads look, and what the run checked about itself."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from analysis.attention_sinks.figures import received_strip
from analysis.drawing.cells import CellAxis, Cells
from analysis.drawing.map_payload import pack_cells
from analysis.drawing.numbers import count, significant
from analysis.drawing.strip import Strip
from analysis.drawing.theme import amount_ramp
from analysis.entropy_collapse.layers.figures import matrix_entropy
from analysis.reports.charts import Linked
from analysis.reports.page import Page, Report, piece, table, words
from analysis.reports.parts import add_checks, add_spec, add_strips, add_token
from analysis.results.token_quantities import quantities_of
from analysis.results.trace import Trace
from analysis.token_entropy.figures import along_text, surprisal_scatter
from analysis.token_entropy.measures import summary
from analysis.token_entropy.strips import entropy_strip, marked_tokens
from analysis.units import Unit, from_nats

TO_THREE_DIGITS, TO_A_BYTE = 1_000_000, 2_200_000
"""Numbers of heads at tokens up to which each is kept to three digits, or as one of 256 steps; beyond, the mean over
the heads of a layer stands for them. So a page stays below 3 MB for 1,000 tokens and below 8 MB for 8,000."""


def run_report(trace: Trace, *, unit: Unit = "nats") -> Report:
    """One run as one file; pictures of what it did not measure are left out, and the page says so.

    Parameters
    ----------
    trace : Trace
        The run.
    unit : {"nats", "bits"}
        Unit of information.
    """
    surprisal = np.nan_to_num(trace.tokens.surprisal, nan=-np.inf)
    page = Page(
        "A text, token by token",
        trace.spec.subtitle,
        chosen=int(np.argmax(surprisal)) if len(surprisal) else -1,
    )
    add_text(page, trace, unit)
    add_token(page, "The chosen token", trace.tokens, unit, place="narrow tall")
    add_heads(page, trace)
    add_lens(page, trace, unit)
    predicted = bool(trace.tokens.has_context.any())
    if predicted:
        add_curves(page, trace, unit)
    if trace.layers.spectrum is not None:
        page.add_chart(
            "Variety of the states, layer by layer",
            lambda name: matrix_entropy(trace, unit=unit, theme_name=name),
            caption="Matrix entropy of all tokens' states; the dashed line leaves token 0 out.",
        )
    if predicted:
        add_whole(page, trace, unit)
    add_checks(page, trace.checks, trace.notes, trace.unavailable, place="beside" if predicted else "")
    add_spec(page, {**asdict(trace.spec), **{f"version of {name}": v for name, v in trace.versions.items()}})
    return page.report()


def add_curves(page: Page, trace: Trace, unit: Unit) -> None:
    """Entropy and surprisal along the text and against each other."""
    page.add_chart(
        "Along the text",
        lambda name: along_text(trace, unit=unit, theme_name=name, pick=True),
        caption="Entropy and surprisal of every token, with the forking tokens; the line is the chosen token.",
        linked=Linked("position", across="position"),
    )
    page.add_chart(
        "Entropy against surprisal",
        lambda name: surprisal_scatter(trace, unit=unit, theme_name=name),
        caption="A mark per token; on the diagonal it was as surprising as the model expected. A click chooses a token.",
        linked=Linked("position", x="entropy", y="surprisal"),
    )


def add_text(page: Page, trace: Trace, unit: Unit) -> None:
    """The text, coloured by each quantity that the run has, and by attention received."""
    tokens = trace.tokens
    marked, name = marked_tokens(tokens.entropy)
    strips: dict[str, Strip] = {
        quantity.label: entropy_strip(
            tokens, key, unit=unit, vocab_size=trace.spec.vocab_size, marked=marked, marked_name=name
        )
        for key, quantity in quantities_of(tokens).items()
    }
    if trace.attention is not None:
        strips["attention received"] = received_strip(trace)
    add_strips(page, "The text, token by token", strips)


def add_lens(page: Page, trace: Trace, unit: Unit) -> None:
    """What each layer would have said in place of the chosen token, where the run read that."""
    layers = trace.layers
    if layers.lens_layers is None or layers.lens_top_ids is None or layers.lens_entropy is None:
        return
    page.first["lens.ids"] = layers.lens_top_ids.astype(np.int32)
    page.first["lens.entropy"] = from_nats(layers.lens_entropy, unit).astype(np.float16)
    options = {
        "ids": "lens.ids",
        "entropy": "lens.entropy",
        "layers": layers.lens_layers.tolist(),
        "unit": unit,
        "names": "tokens.names",
    }
    caption = (
        "Its first choice and its entropy, read from the state of every layer with the model's own head."
    )
    page.add(
        "What each layer would have said",
        piece("lens", options, "<ol></ol>"),
        caption=caption,
        place="beside",
    )


def add_heads(page: Page, trace: Trace) -> None:
    """Attention that the chosen token receives, one cell per head and layer."""
    if trace.attention is None:
        why = trace.unavailable.get("attention", "Attention was not measured in this run.")
        page.add("Who looks at the chosen token", f"<p>{words(why)}</p>", place="beside")
        return
    received, numbers = trace.attention.received, trace.attention.layer_numbers
    rows = CellAxis.numbered("head", range(trace.attention.n_heads))
    rounded = "Values are rounded to three digits."
    if received.size > TO_A_BYTE:
        received, rows = received.mean(1, keepdims=True), CellAxis("", ("mean",), ("mean over heads",))
        rounded = "The text is long: the mean over the heads of a layer, rounded to three digits."
    if received.size > TO_THREE_DIGITS:
        kept = np.rint(255 * np.sqrt(received)).astype(np.uint8)
        rounded = "The text is long: values are rounded to the 256 steps of the colours."
    else:
        kept = received.astype(np.float16)
    page.more["attention.received"] = kept
    cells = Cells(
        title="attention received by the chosen token",
        unit="%",
        values=np.full((received.shape[1], trace.spec.n_layers), np.nan, np.float32),
        rows=rows,
        columns=CellAxis.numbered("layer", range(trace.spec.n_layers)),
        low=0.0,
        high=100.0,
        light=amount_ramp("attention_sinks", "light"),
        dark=amount_ramp("attention_sinks", "dark"),
        missing="no softmax attention",
    )
    page.more["attention.map"] = pack_cells(cells, height=320)
    options = {"map": "attention.map", "received": "attention.received", "layers": numbers.tolist()}
    page.add(
        "Who looks at the chosen token",
        piece("heads", options),
        caption=f"Mean over the later tokens that can see it, for every head. {rounded}",
        place="beside",
    )


def add_whole(page: Page, trace: Trace, unit: Unit) -> None:
    """Numbers of the whole text."""
    numbers = summary(trace.tokens)
    whole = [
        ("tokens", count(numbers.n_tokens)),
        ("of these predicted", count(numbers.n_predicted)),
        ("perplexity", significant(numbers.perplexity)),
        ("bits per byte", significant(numbers.bits_per_byte)),
        (f"mean surprisal, {unit}", significant(from_nats(numbers.mean_surprisal, unit))),
        (f"mean entropy, {unit}", significant(from_nats(numbers.mean_entropy, unit))),
    ]
    page.add("The whole text", table(("", ""), list(whole)), place="narrow")
