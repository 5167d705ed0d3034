"""Numbers in a page: arrays, bytes and plain values in one block of text that a script unpacks.

Little endian: u32 header length, header (JSON: kind, shape, place and length of every part), parts; gzipped, as base64.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

KINDS = ("f4", "f2", "i4", "u1")
"""Numbers that the page's script reads."""


def packed(parts: Mapping[str, Any]) -> str:
    """A block of text that holds the parts; the same parts give the same text.

    Parameters
    ----------
    parts : mapping of str to array, bytes, or value
        Arrays of float32, float16, int32 or uint8, in any shape; bytes as they are; everything else must be plain
        values that JSON knows.

    Raises
    ------
    ValueError
        If an array has numbers of another kind, or a value is not finite.
    """
    head: dict[str, list[Any]] = {}
    body = bytearray()
    for name, part in parts.items():
        if isinstance(part, np.ndarray):
            kind, raw, shape = (
                part.dtype.str[1:],
                part.astype(part.dtype.newbyteorder("<")).tobytes(),
                part.shape,
            )
            if kind not in KINDS:
                raise ValueError(f"{name} holds {part.dtype}, which a page does not read")
        elif isinstance(part, bytes):
            kind, raw, shape = "bytes", part, (len(part),)
        else:
            raw = json.dumps(part, separators=(",", ":"), allow_nan=False).encode()
            kind, shape = "json", (len(raw),)
        head[name] = [kind, list(shape), len(body), len(raw)]
        body += raw
    written = json.dumps(head, separators=(",", ":")).encode()
    data = struct.pack("<I", len(written)) + written + bytes(body)
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()
