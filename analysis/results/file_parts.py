"""What all files of results do: arrays and a JSON header as safetensors, written completely or not at all."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from analysis.errors import AnalysisError, BrokenFileError
from analysis.paths import clean_path

T = TypeVar("T")


def write_file(data: bytes, path: str | Path) -> Path:
    """Write a file, completely or not at all; one that exists is replaced.

    Raises
    ------
    AnalysisError
        If the place cannot be written.
    """
    path = Path(path)
    scratch = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        try:
            with scratch.open("xb") as file:
                file.write(data)
            scratch.replace(path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise AnalysisError(
            f"{short(path.name)} cannot be written ({_reason(error)}).", "Choose another place."
        ) from None
    return path


def read_file(path: str | Path) -> tuple[bytes, str]:
    """Content and name of a file.

    Raises
    ------
    BrokenFileError
        If it cannot be opened.
    """
    path = Path(clean_path(str(path)))
    try:
        return path.read_bytes(), path.name
    except (OSError, ValueError) as error:
        raise BrokenFileError(
            f"{short(path.name)} cannot be opened ({_reason(error)}).", "Check the path."
        ) from None


def bytes_of(arrays: Mapping[str, np.ndarray], headers: dict[str, str]) -> bytes:
    """Content of a file."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=headers)


def header_of(data: bytes, key: str) -> Any:
    """What :func:`bytes_of` was given under a key, read as JSON.

    Raises
    ------
    ValueError, KeyError, TypeError, RecursionError
        If there is none.
    """
    length = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"][key])


def open_content(
    data: bytes,
    name: str,
    key: str,
    newest: int,
    assemble: Callable[[Any, dict[str, np.ndarray]], T],
    *,
    what: str,
) -> T:
    """Make of a file's content what it holds.

    Parameters
    ----------
    data : bytes
        From :func:`bytes_of`.
    name : str
        Of the file, for messages.
    key : str
        Its header's.
    newest : int
        Format that this version writes; the header names its own as "schema", from 1.
    assemble : callable
        Takes header and arrays. Whatever it raises means that the file is damaged.
    what : str
        Kind of file, for messages, such as "trace".

    Raises
    ------
    BrokenFileError
        If it is of another kind, of a newer format, or damaged.
    """
    from safetensors.numpy import load

    name = short(name)
    try:
        header = header_of(data, key)
        schema = header["schema"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BrokenFileError(
            f"{name} is not a {what} file.", f"Choose a {what} file that was saved here."
        ) from None
    if type(schema) is not int or not 1 <= schema <= newest:
        raise BrokenFileError(
            f"{name} was written with {what} format {str(schema)[:20]}; this version reads up to {newest}.",
            "Open it with the version that wrote it, or make it again.",
        )
    try:
        return assemble(header, load(data))
    except Exception as error:
        raise BrokenFileError(
            f"{name} is damaged or cut short ({type(error).__name__}).", "Copy or save it again."
        ) from error


def short(name: str) -> str:
    """A file name of a length a message can hold."""
    return name if len(name) <= 80 else f"{name[:77]}…"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
