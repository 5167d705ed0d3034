"""W&B's offline files, ``run-….wandb``: what a run logged, before anybody synchronised it.

The file is blocks of 32 KiB; a record lies in them whole or in pieces, each behind a
checksum, a length and a kind, as in LevelDB's log. A record is a protobuf message. Only
the fields that hold history, configuration and the run's name are described here, by their
numbers in W&B's own ``wandb_internal.proto``; a reader of protobuf steps over all others.
W&B's package is not needed, and since 0.31 it no longer has a reader of its own in Python.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from analysis.entropy_collapse.training.logs.raw import RawLog, Wanted
from analysis.entropy_collapse.training.logs.rows import Rows
from analysis.errors import BrokenFileError
from analysis.progress import Progress

MAGIC = b":W&B\xe1\xbe\x00"
_HEADER = struct.Struct("<IHB")
_BLOCK_BYTES = 32_768
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_REPORT_RECORDS = 500
_FIELDS = {
    "Item": (("key", 1, "string"), ("nested_key", 2, "strings"), ("value_json", 16, "string")),
    "History": (("item", 1, "Item"), ("step", 2, "Step")),
    "Step": (("num", 1, "int"),),
    "Config": (("update", 1, "Item"),),
    "Run": (("config", 4, "Config"), ("display_name", 8, "string")),
    "Record": (("history", 2, "History"), ("config", 5, "Config"), ("run", 17, "Run")),
}
"""Messages of the file, as far as they are read: name, number and kind of each field."""
_LISTS = ("item", "update")


def read_wandb(path: Path, name: str, wanted: Wanted, on_progress: Progress) -> RawLog:
    """One offline run.

    Raises
    ------
    BrokenFileError
        If it is damaged before the first row of its history, or holds none.
    """
    collected = Rows(wanted)
    notes: list[str] = []
    run = mode = ""
    for record in _messages(path, name, notes, on_progress):
        if record.HasField("history"):
            row = {_key(item): _value(item.value_json) for item in record.history.item}
            if record.history.HasField("step"):
                row.setdefault("_step", record.history.step.num)
            collected.add(row)
        elif record.HasField("run"):
            run = record.run.display_name or run
            mode = _loss_agg_mode(record.run.config) or mode
        elif record.HasField("config"):
            mode = _loss_agg_mode(record.config) or mode
    if not collected.n:
        reason = notes[0] if notes else "Its run has logged nothing."
        raise BrokenFileError(f"{name} holds no history. {reason}", "Choose another run, or copy it again.")
    if wanted.whole_lines:
        notes = [note for note in notes if note != _CUT]
    log = collected.log(run or name, "W&B offline file", notes)
    log.run, log.loss_agg_mode = run, mode
    return log


_CUT = "The file is cut short; what comes before is read."


def _key(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _loss_agg_mode(config: Any) -> str:
    """Verl's setting, wherever it lies in the configuration; "" if it is not there."""
    for item in config.update:
        found = _deep(_value(item.value_json), "loss_agg_mode") if item.value_json else ""
        if found:
            return found
    return ""


def _deep(value: Any, name: str, depth: int = 0) -> str:
    if not isinstance(value, dict) or depth > 6:
        return ""
    if isinstance(value.get(name), str):
        return str(value[name])
    return next((found for inner in value.values() if (found := _deep(inner, name, depth + 1))), "")


def _messages(path: Path, name: str, notes: list[str], on_progress: Progress) -> Iterator[Any]:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    record = _record_type()
    size = max(1, path.stat().st_size)
    for k, (at, data) in enumerate(_records(path, notes)):
        if k % _REPORT_RECORDS == 0:
            on_progress(min(1.0, at / size), f"reading {name}")
        try:
            yield record.FromString(data)
        except DecodeError:
            notes.append(f"Record {k + 1} is damaged; what comes before is read.")
            return


def _records(path: Path, notes: list[str]) -> Iterator[tuple[int, bytes]]:
    """Where each record ends, and its bytes, put together from its pieces."""
    pieces: list[bytes] = []
    with path.open("rb") as file:
        file.seek(len(MAGIC))
        while True:
            left = _BLOCK_BYTES - file.tell() % _BLOCK_BYTES
            if left < _HEADER.size:
                file.seek(left, 1)
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size:
                if head or pieces:
                    notes.append(_CUT)
                return
            check, length, kind = _HEADER.unpack(head)
            data = file.read(length)
            if len(data) < length:
                notes.append(_CUT)
                return
            whole = kind in (_FULL, _FIRST) if not pieces else kind in (_MIDDLE, _LAST)
            if not whole or zlib.crc32(data, zlib.crc32(bytes([kind]))) != check:
                notes.append(f"The file is damaged at byte {file.tell()}; what comes before is read.")
                return
            pieces.append(data)
            if kind in (_FULL, _LAST):
                yield file.tell(), b"".join(pieces)
                pieces = []


@cache
def _record_type() -> Any:
    """The class of a record, made from :data:`_FIELDS`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

    kinds = {"string": 9, "strings": 9, "int": 3}
    file = descriptor_pb2.FileDescriptorProto(
        name="offline_run.proto", package="offline_run", syntax="proto3"
    )
    for message, fields in _FIELDS.items():
        described = file.message_type.add(name=message)
        for field, number, kind in fields:
            added = described.field.add(name=field, number=number, type=kinds.get(kind, 11))
            added.label = 3 if kind == "strings" or field in _LISTS else 1
            if kind in _FIELDS:
                added.type_name = f".offline_run.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("offline_run.Record"))
