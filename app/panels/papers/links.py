"""Where a method is seen: the page that draws it, and the address that sets it up."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from analysis.methods import Method
from app import state
from app.navigation import ENTRIES

Address = Mapping[str, str]
"""Settings of a page, by their keys in the address."""

_VIEWS: dict[str, Address] = {
    "lens": {state.ENTROPY_VIEW: "lens"},
    "training": {state.COLLAPSE_VIEW: "over training", state.LOG_PICTURES: "law"},
    "training-lab": {state.COLLAPSE_VIEW: "live lab"},
    "lab": {state.COLLAPSE_VIEW: "live lab", state.LAB_PICTURES: "answers"},
    "compression": {state.PRUNING_VIEW: "prompt"},
    "comparison": {state.COMPARE_VIEW: "rules"},
    "compared": {state.COMPARE_VIEW: "summary"},
    "visual": {state.LOOK_VIEW: "pruning"},
}
"""View of a whole kind, as far as it is not the first one of its page."""
_OF_ONE: dict[str, Address] = {
    "token/forking": {},
    "token/windows": {state.SHOW_WINDOWS: "true"},
    "token/threshold": {state.MARK: "SRGen triggers"},
    "token/quadrants": {state.ENTROPY_VIEW: "scatter"},
    "head/learned_sink": {},
    "head/gate": {},
    "sinks/triad": {state.SINKS_VIEW: "over layers"},
    "sinks/emergence": {state.SINKS_VIEW: "over layers"},
    "sinks/massive": {state.SINKS_VIEW: "over layers"},
    "sinks/drain": {state.SINKS_VIEW: "over layers"},
    "sinks/difference": {state.SINKS_VIEW: "experiments"},
    "sinks/streaming": {state.SINKS_VIEW: "experiments", state.SINKS_EXPERIMENT: "streaming"},
    "sinks/break": {state.SINKS_VIEW: "experiments", state.SINKS_EXPERIMENT: "break it"},
    "layer/collapse": {state.COLLAPSE_OF: "many texts"},
    "layer/RankMe": {state.COLLAPSE_OF: "other models"},
    "layer/Diff-eRank": {state.COLLAPSE_OF: "other models"},
    "layer/phases": {state.COLLAPSE_OF: "other models"},
    "training/onset": {state.COLLAPSE_VIEW: "over training"},
    "lab/answer entropy": {state.COLLAPSE_VIEW: "live lab", state.LAB_PICTURES: "exchange"},
    "lab/covariance": {state.COLLAPSE_VIEW: "live lab", state.LAB_PICTURES: "exchange"},
    "lab/backcopy": {state.COLLAPSE_VIEW: "live lab", state.LAB: "bigram-backcopy"},
    "training-lab/none": {state.COLLAPSE_VIEW: "live lab"},
    "eviction/full": {},
    "eviction/knock-out": {state.EVICTION_PICTURES: "tests"},
    "pruning/overlap": {state.EVICTION_PICTURES: "agreement"},
    "pruning/survival": {state.EVICTION_PICTURES: "agreement"},
    "pruning/costs": {state.EVICTION_PICTURES: "cost"},
    "compared/adapter": {state.COMPARE_VIEW: "layers", state.CHANGE_KIND: "with an adapter on"},
    "compared/round trip": {state.CHANGE_KIND: "with rounded weights"},
    "compared/packed weights": {state.COMPARE_VIEW: "summary"},
    "compared/k1": {state.COMPARE_VIEW: "engine"},
    "compared/k2": {state.COMPARE_VIEW: "engine"},
    "compared/k3": {state.COMPARE_VIEW: "engine"},
    "visual-measure/horizon": {state.LOOK_VIEW: "horizon"},
    "visual-measure/window information": {state.LOOK_VIEW: "horizon"},
    "visual-measure/interval": {state.LOOK_VIEW: "pruning"},
}
"""Settings of single methods, in place of their kind's."""
_PAGES = {entry.title: entry.slug for entry in ENTRIES}


def address(method: Method) -> tuple[str, dict[str, str]] | None:
    """Page and settings that show a method; None where no page does.

    Returns
    -------
    tuple or None
        The page's slug, and its settings by their keys in the address.
    """
    slug = _PAGES.get(method.picture)
    if slug is None:
        return None
    if method.key in _OF_ONE:
        return slug, dict(_OF_ONE[method.key])
    return slug, {**_VIEWS.get(method.kind, {}), **_named(method)}


def href(method: Method) -> str | None:
    """The same as a relative link, to be opened beside the shelf."""
    found = address(method)
    if found is None:
        return None
    slug, settings = found
    return slug + ("?" + urlencode(settings, quote_via=quote) if settings else "")


def _named(method: Method) -> dict[str, str]:
    """The setting that names the method itself; by what its control shows."""
    from app.panels.attention_sinks.help import HEAD_LABELS
    from app.panels.write.rules import RULES

    if method.kind in ("token", "change"):
        key = state.QUANTITY if method.kind == "token" else state.COMPARED_QUANTITY
        return {key: method.label}
    if method.kind == "rule":
        return {state.RULE: next(shown for shown, (rule, _whose) in RULES.items() if rule == method.name)}
    by_name: dict[str, Address] = {
        "lens": {state.LENS_QUANTITY: method.label.removeprefix("logit lens: ")},
        "sampler": {state.WRITE_SAMPLERS: method.label},
        "head": {state.HEAD_QUANTITY: HEAD_LABELS.get(method.name, "")},
        "layer": {state.LAYER_QUANTITY: method.name},
        "training-lab": {state.INTERVENTIONS: method.name},
        "eviction": {state.METHODS: method.label},
        "pruning": {state.EVICTION_PICTURES: "tests"},
        "compression": {state.COMPRESSION_METHODS: method.name},
        "comparison": {state.COMPARE_RULE: method.label},
        "visual": {state.VISUAL_METHODS: method.label},
    }
    return dict(by_name.get(method.kind, {}))
