"""The picture of an answer in a report, with the attention of the chosen written token on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.drawing.labels import visible
from analysis.reports.page import Page, piece, words
from analysis.visual_tokens.findings import attention_finding, sink_patches
from analysis.visual_tokens.looking_figures import PARTS, shares_frame
from analysis.visual_tokens.patch_figures import SIDE, data_url
from analysis.visual_tokens.results import VisualAnswer
from analysis.visual_tokens.sinks import place_in_words

MOST_WEIGHTS = 1_000_000
"""Weights of tokens in layers on patches up to which each layer can be chosen; beyond, the mean over layers is drawn."""


def add_picture(page: Page, a: VisualAnswer) -> None:
    """The picture, its patches coloured by the chosen token's attention, of all layers or of one."""
    each_layer = a.looking.mean.size <= MOST_WEIGHTS
    layers = range(a.spec.n_layers) if each_layer else range(0)
    parts = [part for part in PARTS if part != "newlines" or a.looking.share_newlines.any()]
    page.first |= {
        "patches.mean": np.stack([a.looking.on_picture(t) for t in range(len(a.tokens))]).astype(np.float32),
        "patches.sinks": np.stack([sink_patches(a, layer) for layer in (None, *layers)]).astype(np.uint8),
        "patches.numbers": np.stack([_numbers(a, t, len(layers), parts) for t in range(len(a.tokens))]),
        "patches.boxes": a.picture.boxes.astype(np.float32),
        "patches.where": [place_in_words(a.picture, patch) for patch in range(len(a.picture))],
        "patches.texts": [visible(text) for text in a.tokens.text],
    }
    if each_layer:
        page.first["patches.layers"] = a.looking.mean.astype(np.float16)
    options: dict[str, Any] = {
        "measures": _measures(parts),
        "drawn": [np.flatnonzero(drawn).tolist() for drawn in _drawings(a)],
    }
    caption = (
        "Stronger colour: more attention, mean over heads, on a square root scale. Dashed: visual sinks. "
        "Point at a patch for its place and share."
    )
    if not each_layer:
        caption += " The answer is long: the mean over layers stands for the single ones."
    page.add("Where the chosen token looked", piece("picture", options, _body(a, layers)), caption=caption, place="beside")  # fmt: skip


def _drawings(a: VisualAnswer) -> list[np.ndarray]:
    """Patches that are drawn on the picture; where a model saw crops, those of the small whole picture on a second one."""
    main = a.picture.main
    return [main] if main.all() else [main, ~main]


def _measures(parts: list[str]) -> list[tuple[str, str | None]]:
    """Names and units of what is said of a chosen token, None for a count; the numbers have their order."""
    shares = [(f"on the {PARTS[part]}", "%") for part in parts]
    of_picture = [("of it on sinks", "%"), ("patches with half of it", None)]
    return [shares[0], *of_picture, *shares[1:], ("MDI", "")]


def _numbers(a: VisualAnswer, token: int, n_layers: int, parts: list[str]) -> np.ndarray:
    """The measures of a written token, over all layers and in each, (1 + layers, M), float32."""
    frame = shares_frame(a, token)
    rows = []
    for layer in (None, *range(n_layers)):
        found = attention_finding(a, token, layer)
        of_layers = frame if layer is None else frame.iloc[layer : layer + 1]
        shares = [100 * float(of_layers[part].mean()) if part in of_layers else 0.0 for part in parts]
        of_picture = [100 * found.sinks, found.n_half]
        rows.append([shares[0], *of_picture, *shares[1:], float(of_layers["mdi_without_first"].median())])
    return np.array(rows, np.float32)


def _body(a: VisualAnswer, layers: range) -> str:
    choices = "".join(f'<option value="{1 + layer}">layer {layer}</option>' for layer in layers)
    kind = "photo" if a.picture.width >= SIDE else "photo pixels"
    photo = (
        f'<div class="{kind}"><img alt="" src="{data_url(a.picture)}">'
        f'<svg viewBox="0 0 {a.picture.width} {a.picture.height}" preserveAspectRatio="none" role="img"></svg></div>'
    )
    names = ("On the picture", "On the small whole picture that the model saw beside its crops")
    drawings = _drawings(a)
    figures = "".join(
        f"<figure>{photo}{f'<figcaption>{words(name)}</figcaption>' if len(drawings) > 1 else ''}</figure>"
        for name, _ in zip(names, drawings, strict=False)
    )
    return (
        f'<label>Mean over <select autocomplete="off"><option value="0">all layers</option>{choices}</select></label> '
        '<label><input type="checkbox" autocomplete="off"> Without sinks</label>'
        f'<div class="seen"><div>{figures}<p class="ramp"><span>0</span><i></i><span class="top"></span></p></div>'
        '<div><h3></h3><table class="shares"><tbody></tbody></table>'
        '<table class="strongest"><caption>Patches that get most, sinks left out</caption><tbody></tbody></table></div></div>'
    )
