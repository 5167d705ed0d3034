"""The token strip as the bytes that a browser draws it from."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.drawing.labels import ODD, SIGNS, spelled_all
from analysis.drawing.numbers import EXACT_DIGITS
from analysis.drawing.strip import Strip


def token_number(value: object, n: int) -> int | None:
    """The value, if it is a token number of a text of ``n`` tokens, else None."""
    good = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= int(value) < n
    return int(value) if good else None  # type: ignore[call-overload]


def _texts(texts: Sequence[str]) -> bytes:
    """Byte offsets (u32, one more than texts) followed by the texts in UTF-8."""
    raw = [t.encode("utf-8", "replace") for t in texts]
    offsets = np.zeros(len(raw) + 1, "<u4")
    np.cumsum([len(r) for r in raw], out=offsets[1:])
    return offsets.tobytes() + b"".join(raw)


def text_identity(strip: Strip) -> str:
    """Short hash of the strip's cells: the same for the same text, whatever its colours."""
    digest = hashlib.blake2b(np.ascontiguousarray(strip.cell, "<i4").tobytes(), digest_size=12)
    digest.update(_texts(strip.cell_text))
    return digest.hexdigest()


def pack(
    strip: Strip,
    selected: int | None = None,
    *,
    revision: int = 0,
    height: int | None = None,
    room: int = 0,
    key: str = "",
    text_id: str = "",
) -> bytes:
    """Pack a strip for the browser.

    Parameters
    ----------
    strip : Strip
        What to draw.
    selected : int or None
        Token to select when ``revision`` is new to the browser.
    revision : int, default 0
        Counts the times the host asked for a selection; it comes back with every choice.
    height : int, optional
        Tallest the text may get before it scrolls, in pixels, cut between two lines; 60 % of the window by default.
    room : int, default 0
        Pixels at the beginning of the legend's line for controls of the page, where the strip is twice as wide; the
        strip then leaves its title to them.
    key : str, default ""
        Name under which the browser remembers selection and scroll position.
    text_id : str, default ""
        Identity of the text, where more than this strip is drawn.

    Returns
    -------
    bytes
        Little endian: u32 header length, header (JSON), f32 values, i32 cell, u8 flags,
        u8 light and dark ramp (256 x 3 each), spelled cell texts, and details if there are any;
        texts as u32 byte offsets followed by UTF-8. The same input gives the same bytes.
    """
    n, cells = strip.n_tokens, len(strip.cell_text)
    if not (math.isfinite(strip.low) and math.isfinite(strip.high)):
        strip = replace(strip, low=0.0, high=1.0)
    header = {
        "n": n,
        "cells": cells,
        "title": strip.title,
        "unit": strip.unit,
        "low": float(strip.low),
        "high": float(strip.high),
        "ends": strip.ends,
        "digits": EXACT_DIGITS,
        "signs": SIGNS,
        "odd": ODD,
        "missing": strip.missing,
        "special": strip.special,
        "marked": strip.marked,
        "span": strip.span,
        "buckets": list(strip.buckets),
        "details": bool(strip.details),
        "selected": token_number(selected, n),
        "revision": revision,
        "height": height or 0,
        "room": room,
        "key": key,
        "text_id": text_id or text_identity(strip),
    }
    head = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    arrays = (
        np.ascontiguousarray(strip.values, "<f4"),
        np.ascontiguousarray(strip.cell, "<i4"),
        np.ascontiguousarray(strip.flags, "u1"),
        np.ascontiguousarray(strip.light, "u1"),
        np.ascontiguousarray(strip.dark, "u1"),
    )
    for array, size in zip(arrays, (n, n, n, 768, 768), strict=True):
        if array.size != size:
            raise ValueError(
                f"the strip has {n} tokens, so one of its arrays is wrong: {array.size} != {size}"
            )
    if strip.details and len(strip.details) != n:
        raise ValueError(f"{len(strip.details)} details for {n} tokens")
    if n and (arrays[1][0] < 0 or arrays[1][-1] >= cells or bool((np.diff(arrays[1]) < 0).any())):
        raise ValueError(f"cell numbers have to rise from 0 or more to below {cells}")
    blocks = [
        struct.pack("<I", len(head)),
        head,
        *(a.tobytes() for a in arrays),
        _texts(spelled_all(strip.cell_text)),
    ]
    return b"".join([*blocks, _texts(strip.details)] if strip.details else blocks)
