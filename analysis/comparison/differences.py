"""What differs between two sides, from the specs of their runs: a phrase each."""

from __future__ import annotations

from analysis.results.trace import Trace, TraceSpec

_PLAIN = {
    "dtype": "precision",
    "weights": "stored weights",
    "rounded": "round trip",
    "bos": "beginning-of-text token",
    "parse_special": "special tokens in the text",
    "visibility": "attention",
    "eviction": "cache",
    "device": "device",
}
_NOTHING = {
    "weights": "plain",
    "rounded": "none",
    "visibility": "as the model sees",
    "eviction": "whole",
}


def differences(a: Trace, b: Trace) -> tuple[str, ...]:
    """What differs between two runs, such as "precision: float32 and bfloat16"; empty where nothing does.

    Parameters
    ----------
    a, b : Trace
        The runs.
    """
    one, other = a.spec, b.spec
    adapters = _pair("adapter", _adapter(one), _adapter(other))
    only_adapters = adapters and one.source == other.source
    found = ["" if only_adapters else _pair("model", _model(one), _model(other)), adapters]
    found += [_pair(label, _words(one, name), _words(other, name)) for name, label in _PLAIN.items()]
    found.append(_pair("windows", _windows(one), _windows(other)))
    front, back = a.text[: one.n_before], b.text[: other.n_before]
    if front != back:
        found.append(_pair("text in front", _characters(front), _characters(back)) or "text in front")
    if a.text[one.n_before :] != b.text[other.n_before :]:
        found.append("text")
    elif front == back and one.bos == other.bos and _other_ids(a, b):
        found.append("tokens of the text")
    return tuple(phrase for phrase in found if phrase)


def _pair(label: str, one: str, other: str) -> str:
    return "" if one == other else f"{label}: {one} and {other}"


def _words(spec: TraceSpec, name: str) -> str:
    value = getattr(spec, name)
    if isinstance(value, bool):
        return "read as such" if value else "read as letters"
    return str(value) or _NOTHING[name]


def _model(spec: TraceSpec) -> str:
    return f"{spec.model} ({spec.revision})" if spec.revision else spec.model


def _adapter(spec: TraceSpec) -> str:
    if not spec.adapter:
        return "none"
    return spec.adapter if spec.strength == 1.0 else f"{spec.adapter} at strength {spec.strength:g}"


def _windows(spec: TraceSpec) -> str:
    return "none" if spec.window is None else f"{spec.window} tokens, stride {spec.stride}"


def _characters(text: str) -> str:
    return f"{len(text):,} characters" if text else "none"


def _other_ids(a: Trace, b: Trace) -> bool:
    return len(a.tokens) != len(b.tokens) or bool((a.tokens.token_id != b.tokens.token_id).any())
