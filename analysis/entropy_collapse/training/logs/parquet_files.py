"""Parquet tables, W&B's history artifact among them. Streamed: only the needed columns are kept."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from analysis.entropy_collapse.training.logs.csv_files import append
from analysis.entropy_collapse.training.logs.panels import table_run
from analysis.entropy_collapse.training.logs.raw import RawLog, Wanted
from analysis.errors import BrokenFileError
from analysis.progress import Progress


def read_parquet(path: Path, name: str, wanted: Wanted, on_progress: Progress) -> RawLog:
    """A Parquet table, such as the history artifact of a W&B run.

    Raises
    ------
    BrokenFileError
        If the file is damaged.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            numeric = [
                f.name
                for f in file.schema_arrow
                if pa.types.is_integer(f.type) or pa.types.is_floating(f.type) or pa.types.is_boolean(f.type)
            ]
            columns: dict[str, array[float]] = {c: array("d") for c in numeric if wanted(c)}
            n_rows, done = max(1, file.metadata.num_rows), 0
            for batch in file.iter_batches(1 << 16, columns=list(columns)) if columns else ():
                append(columns, batch)
                done += batch.num_rows
                on_progress(done / n_rows, f"reading {name}")
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split(". ")[0].strip()[:120]
        raise BrokenFileError(f"{name} is damaged or cut short ({reason}).", "Copy it again.") from None
    values = {c: np.frombuffer(v) for c, v in columns.items()}
    source = "W&B history" if "_step" in numeric else "Parquet"
    return table_run(name, source, dict(zip(numeric, numeric, strict=True)), values, wanted, [])
