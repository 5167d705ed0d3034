"""Two texts token under token as the bytes that a browser draws them from."""

from __future__ import annotations

import struct

from analysis.comparison.strips import TwinStrip
from analysis.drawing.strip_payload import pack, text_identity


def twin_identity(twin: TwinStrip) -> str:
    """The same for the same two texts, whatever their colours."""
    return f"{text_identity(twin.a)}{text_identity(twin.b)}"


def pack_twin(
    twin: TwinStrip,
    selected: int | None = None,
    *,
    revision: int = 0,
    height: int | None = None,
    room: int = 0,
    key: str = "",
) -> bytes:
    """Pack A, B and their differences: the lengths of the first two (u32 each), then three payloads of a strip.

    Parameters
    ----------
    twin : TwinStrip
        What to draw.
    selected, revision, height, room, key
        As for :func:`analysis.drawing.strip_payload.pack`; an item takes the place of a token.
    """
    a = pack(
        twin.a, selected, revision=revision, height=height, room=room, key=key, text_id=twin_identity(twin)
    )
    b, change = pack(twin.b), pack(twin.change)
    return struct.pack("<II", len(a), len(b)) + a + b + change
