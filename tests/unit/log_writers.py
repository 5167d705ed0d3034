"""Training logs in the shapes that trainers and dashboards write, with numbers that are known."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

A, B = 0.15, 0.9
"""Of the law that every run here was made with."""


@dataclass(frozen=True)
class Run:
    """A run whose reward follows the law exactly."""

    step: np.ndarray
    entropy: np.ndarray
    reward: np.ndarray

    def __iter__(self):
        return zip((int(s) for s in self.step), self.entropy.tolist(), self.reward.tolist(), strict=True)


def run(n: int = 30, first: int = 1, stride: int = 1, scale: float = 1.0) -> Run:
    k = np.arange(n)
    entropy = 0.8 * np.exp(-k / 12) + 0.05 * np.cos(1.7 * k) + 0.06
    return Run(first + stride * k, scale * entropy, B - A * np.exp(entropy))


def text(path: Path, lines: Iterable[str], end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + end).encode())
    return path


def jsonl(path: Path, rows: Iterable[dict]) -> Path:
    return text(path, map(json.dumps, rows))


def csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence], delimiter: str = ",", point: str = "."
) -> Path:
    cells = (delimiter.join(repr(c).replace(".", point) for c in row) for row in rows)
    return text(path, [delimiter.join(header), *cells])


def panel(
    path: Path, metric: str, values: dict[str, dict[int, float]], x: str = "Step", before: str = ""
) -> Path:
    """A W&B panel: a column a run and two more, blank where a run has nothing."""
    columns = [f"{before}{name} - {metric}{extra}" for name in values for extra in ("", "__MIN", "__MAX")]
    lines = [",".join(f'"{c}"' for c in (x, *columns))]
    for step in sorted({step for own in values.values() for step in own}):
        cells = [repr(own[step]) if step in own else "" for own in values.values() for _ in range(3)]
        lines.append(",".join(f'"{c}"' for c in (step, *cells)))
    return text(path, lines)


def verl_line(step: int, pairs: dict[str, float], counter: bool = True) -> str:
    own = pairs | ({"training/global_step": step} if counter else {})
    return " - ".join([f"step:{step}", *(f"{k}:{v!r}" for k, v in own.items())])


Event = tuple[float, int, dict[str, float]]
"""Time, step, and scalars by tag."""


def events(path: Path, found: Iterable[Event]) -> Path:
    """An event file, framed as ``SummaryWriter`` frames it."""
    from tensorboard.compat.proto.event_pb2 import Event as Message
    from tensorboard.compat.proto.summary_pb2 import Summary

    records = [Message(wall_time=1.7e9, file_version="brain.Event:2")]
    for time, step, scalars in found:
        for tag, value in scalars.items():
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            records.append(Message(wall_time=time, step=step, summary=summary))
    return framed(path, records)


def framed(path: Path, records: Iterable) -> Path:
    """A file of messages, each between its length and its checksums (TFRecord)."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    data = b""
    for record in records:
        body = record.SerializeToString()
        head = struct.pack("<Q", len(body))
        data += head + struct.pack("<I", masked_crc32c(head)) + body + struct.pack("<I", masked_crc32c(body))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def mlflow_run(folder: Path, metrics: dict[str, Run | dict[int, float]], name: str = "") -> Path:
    for key, values in metrics.items():
        text(
            folder / "metrics" / key, [f"{1_700_000_000_000 + 250 * s} {v!r} {s}" for s, v in values.items()]
        )
    if name:
        text(folder / "meta.yaml", ["artifact_uri: somewhere", f"run_name: {name}", "status: 3"])
    return folder


TRACKIO = {
    "new": """CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL,
        timestamp TEXT NOT NULL, run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL,
        log_id TEXT, space_id TEXT)""",
    "old": """CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL,
        project_name TEXT NOT NULL, run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL)""",
}
"""Trackio's table of 2025 and that of 2026."""


def trackio(path: Path, runs: dict[str, Iterable[dict]], version: str = "new") -> Path:
    """A database as Trackio fills it; ``step`` counts calls of ``log`` from 0."""
    with sqlite3.connect(path) as connection:
        connection.execute(TRACKIO[version])
        for name, rows in runs.items():
            for k, row in enumerate(rows):
                stamp = f"2026-01-02T03:{k // 60:02}:{k % 60:02}.5+00:00"
                body = json.dumps(row).encode() if version == "new" else json.dumps(row)
                owner = ("run_id", f"id of {name}") if version == "new" else ("project_name", "words")
                connection.execute(
                    f"INSERT INTO metrics ({owner[0]}, timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?, ?)",
                    (owner[1], stamp, name, k, body),
                )
    connection.close()
    return path


def mlflow_database(path: Path, runs: dict[str, Run]) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (run_uuid VARCHAR(32), name VARCHAR(250), status VARCHAR(9))")
        connection.execute(
            "CREATE TABLE metrics (key VARCHAR(250), value FLOAT NOT NULL, timestamp BIGINT, run_uuid VARCHAR(32), "
            "step BIGINT, is_nan BOOLEAN)"
        )
        for name, own in runs.items():
            connection.execute("INSERT INTO runs VALUES (?, ?, 'FINISHED')", (f"uuid {name}", name))
            for step, entropy, reward in own:
                for key, value in (("train/entropy", entropy), ("train/reward", reward)):
                    row = (key, value, 1_700_000_000_000 + 250 * step, f"uuid {name}", step)
                    connection.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)", row)
    connection.close()
    return path
