"""TensorBoard event files, record by record: only scalars are kept, images and text are stepped over.

A record is its length, a checksum of the length, the protobuf message, and a checksum of
the message (TFRecord). The message format comes from the ``tensorboard`` package.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.entropy_collapse.training.logs import keys as rules
from analysis.entropy_collapse.training.logs.raw import STEP_OF_THE_EVENT, RawLog, Series, Wanted
from analysis.entropy_collapse.training.logs.time_order import time_order
from analysis.errors import BrokenFileError
from analysis.progress import Progress

_HEADER = struct.Struct("<QI")
_MAX_SCALAR_BYTES = 65_536
"""Longer records are images, histograms, text; they are stepped over unread."""
_REPORT_RECORDS = 500
_CUT = "The file is cut short; what comes before is read."


def is_event_file(head: bytes) -> bool:
    """Whether the first bytes are the head of a TFRecord."""
    if len(head) < _HEADER.size:
        return False
    length, check = _HEADER.unpack(head[: _HEADER.size])
    return bool(length < 2**31 and _checksum(head[:8]) == check)


def _checksum(data: bytes) -> int:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c  # type: ignore[import-untyped]

    return int(masked_crc32c(data))


@dataclass
class _Tag:
    """The scalars of one tag."""

    step: array[float] = field(default_factory=lambda: array("d"))
    value: array[float] = field(default_factory=lambda: array("d"))
    time: array[float] = field(default_factory=lambda: array("d"))
    order: array[int] = field(default_factory=lambda: array("q"))

    def series(self, counter: str, value: array[float] | None = None) -> Series:
        values = self.value if value is None else value
        return Series(
            np.frombuffer(self.step), np.frombuffer(values), np.frombuffer(self.order, np.int64), counter
        )


def read_events(path: Path, name: str, wanted: Wanted, on_progress: Progress) -> RawLog:
    """One event file. A tag is a key; the step is the event's.

    Raises
    ------
    BrokenFileError
        If it holds no event, or is damaged before the first.
    """
    tags: dict[str, _Tag] = {}
    keys: dict[str, None] = {}
    notes: list[str] = []
    moment = 0
    for event in _events(path, name, notes, on_progress):
        moment = max(moment + 1, time_order(event.wall_time))
        for item in event.summary.value:
            scalar = _scalar(item)
            if scalar is None:
                continue
            keys.setdefault(item.tag)
            if wanted(item.tag):
                tag = tags.setdefault(item.tag, _Tag())
                tag.step.append(event.step)
                tag.value.append(scalar)
                tag.time.append(event.wall_time)
                tag.order.append(moment)
    if notes and not keys:
        raise BrokenFileError(f"{name}: {notes[0][0].lower()}{notes[0][1:]}", "Copy it again.")
    if wanted.whole_lines and _CUT in notes:
        notes.remove(_CUT)
    counters = _counters(tags)
    series = {key: tag.series(counters[key]) for key, tag in tags.items()}
    clock = wanted.entropy_key(tags) or max(tags, key=lambda key: len(tags[key].step), default=None)
    if clock is not None:
        series["wall time"] = tags[clock].series(counters[clock], tags[clock].time)
    return RawLog(name, "TensorBoard", tuple(keys), series, {}, notes, clocked=True)


def _counters(tags: dict[str, _Tag]) -> dict[str, str]:
    """What counts each tag's steps: a tag of the same beginning that holds its own steps, if there are several.

    slime writes ``train/step`` beside what it counts in updates, ``rollout/step`` beside rollouts.
    """
    own = {
        key.partition("/")[0]: key
        for key, tag in tags.items()
        if key.count("/") == 1 and rules.is_step(key) and tag.step == tag.value
    }
    if len(own) < 2:
        return dict.fromkeys(tags, STEP_OF_THE_EVENT)
    return {key: own.get(key.partition("/")[0], STEP_OF_THE_EVENT) for key in tags}


def _events(path: Path, name: str, notes: list[str], on_progress: Progress) -> Iterator[Any]:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]

    size = path.stat().st_size
    with path.open("rb") as file:
        k = 0
        while head := file.read(_HEADER.size):
            if k % _REPORT_RECORDS == 0:
                on_progress(file.tell() / size, f"reading {name}")
            k += 1
            if len(head) < _HEADER.size:
                notes.append(_CUT)
                return
            length, check = _HEADER.unpack(head)
            if _checksum(head[:8]) != check:
                notes.append(f"Record {k} is damaged; what comes before is read.")
                return
            if file.tell() + length + 4 > size:
                notes.append(_CUT)
                return
            if length > _MAX_SCALAR_BYTES:
                file.seek(length + 4, 1)
                continue
            data = file.read(length)
            (check,) = struct.unpack("<I", file.read(4))
            if _checksum(data) != check:
                notes.append(f"Record {k} is damaged; what comes before is read.")
                return
            try:
                yield Event.FromString(data)
            except DecodeError:
                notes.append(f"Record {k} is damaged; what comes before is read.")
                return


def _scalar(item: Any) -> float | None:
    """The number of a summary; TensorFlow 2 writes it as a tensor of one entry."""
    if item.HasField("simple_value"):
        return float(item.simple_value)
    if item.HasField("tensor") and item.metadata.plugin_data.plugin_name == "scalars":
        from tensorboard.util.tensor_util import make_ndarray  # type: ignore[import-untyped]

        values = make_ndarray(item.tensor)
        return float(values.reshape(-1)[0]) if values.size == 1 and values.dtype.kind in "fiub" else None
    return None
