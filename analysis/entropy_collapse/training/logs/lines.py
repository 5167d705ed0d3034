"""Lines of a text file, one by one, also of one that is still being written."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from analysis.entropy_collapse.training.logs.raw import Wanted
from analysis.errors import AnalysisError, BrokenFileError
from analysis.progress import Progress

MAX_LINE_BYTES = 16_000_000
_REPORT_LINES = 500
_BLOCK_BYTES = 1 << 16


def lines(path: Path, name: str, wanted: Wanted, on_progress: Progress) -> Iterator[str]:
    """Lines that are not empty, with progress.

    Raises
    ------
    BrokenFileError
        If a line is longer than any row of a log.
    """
    size = max(1, path.stat().st_size)
    try:
        with opened(path, wanted) as file:
            for k, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b"")):
                if k % _REPORT_LINES == 0:
                    on_progress(min(1.0, file.tell() / size), f"reading {name}")
                if len(line) == MAX_LINE_BYTES:
                    raise BrokenFileError(
                        f"Line {k + 1} of {name} is over {MAX_LINE_BYTES / 1e6:.0f} MB.",
                        "Choose a log with a row a line.",
                    )
                text = line.decode("utf-8-sig" if k == 0 else "utf-8", "replace").strip()
                if text:
                    yield text
    except OSError as error:
        raise AnalysisError(f"{name} cannot be read ({error.strerror}).", "Check the file.") from None


def opened(path: Path, wanted: Wanted) -> BinaryIO:
    """A file opened for reading; without a last line that has no end yet, if that is wanted."""
    if not wanted.whole_lines:
        return path.open("rb")
    return cast(BinaryIO, io.BufferedReader(_Part(path, _end_of_lines(path))))


def _end_of_lines(path: Path) -> int:
    """Bytes up to and with the last line feed."""
    with path.open("rb") as file:
        end = file.seek(0, io.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK_BYTES)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
    return 0


class _Part(io.RawIOBase):
    """The first bytes of a file, whatever is appended meanwhile."""

    def __init__(self, path: Path, n_bytes: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._n_bytes = n_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left = max(0, self._n_bytes - self._file.tell())
        data = self._file.read(min(left, len(buffer))) or b""
        buffer[: len(data)] = data
        return len(data)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()
