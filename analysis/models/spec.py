"""Which model, on which device, in which precision: a frozen, valid description."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from analysis.errors import AnalysisError
from analysis.models.embedded import SHA256

EMBEDDED = "embedded"
"""Source name of the model that comes with the project."""

Precision = Literal["auto", "float32", "bfloat16", "float16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Kind = Literal["embedded", "hub", "folder", "gguf"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_REVISION = re.compile(r"(?!.*\.\.)[\w][\w./-]{0,199}")
_LONGEST_NAME = 255
"""A longer name without a slash in front is neither a hub id nor a folder here."""
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,2})?")


@dataclass(frozen=True)
class ModelSpec:
    """A model to load. One that exists is valid; it is the key of every cache.

    Raises
    ------
    AnalysisError
        If the source is neither a hub id, a folder nor a ``.gguf`` file, or device,
        precision or revision is not one that can exist.
    """

    source: str = EMBEDDED
    """"embedded", a hub id such as ``org/name``, a folder, or a ``.gguf`` file."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; None is the default branch."""
    device: str = "auto"
    """"auto" (CUDA when there is one), "cpu", "mps", "cuda" or "cuda:1"."""
    dtype: Precision = "auto"
    """"auto" is float32 on the CPU and the checkpoint's own precision on an accelerator."""

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise AnalysisError(f"There is no device called {self.device!r}.", "Use auto, cpu, cuda or mps.")
        if self.dtype not in PRECISIONS:
            raise AnalysisError(
                f"There is no precision called {self.dtype!r}.", f"Use one of {', '.join(PRECISIONS)}."
            )
        if self.revision is not None and not _REVISION.fullmatch(self.revision):
            raise AnalysisError(
                f"{self.revision!r} cannot be a revision.",
                "Use a branch, a tag or a commit of the hub model.",
            )
        if self.kind in ("folder", "gguf"):
            self._check_path()
        if self.kind == "hub" and not _HUB_ID.fullmatch(self.source):
            raise AnalysisError(
                f"{self.source[:80]!r} is neither a hub id, a folder nor a .gguf file.",
                "A hub id looks like org/name; a folder path starts with / or ./ or ends with /.",
            )

    def _check_path(self) -> None:
        """Refuse a path that no file system can hold, before anything asks for it."""
        try:
            self.path.is_dir()
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise AnalysisError(
                f"{self.source[:80]!a} cannot be a path ({reason.strip(' .')}).",
                "Check the path, or use a hub id such as org/name.",
            ) from None

    @property
    def kind(self) -> Kind:
        """What the source is. A folder that exists wins over a hub id of the same name."""
        if self.source == EMBEDDED:
            return "embedded"
        if self.source.lower().endswith(".gguf"):
            return "gguf"
        is_path = self.source.startswith(("/", "./", "../", "~")) or self.source.endswith("/")
        if is_path or (len(self.source) <= _LONGEST_NAME and self.source and Path(self.source).is_dir()):
            return "folder"
        return "hub"

    @property
    def path(self) -> Path:
        """The folder or file of a local source."""
        return Path(self.source).expanduser()

    @property
    def name(self) -> str:
        """Short name for a screen: last part of a path, or the hub id."""
        if self.kind == "embedded":
            return "SmolLM2-135M-Instruct"
        return self.source if self.kind == "hub" else self.path.name

    def fingerprint(self) -> str:
        """Changes when a local model changes on disk; the revision for a hub model."""
        if self.kind == "hub":
            return self.revision or "main"
        if self.kind == "embedded":
            return SHA256[:12]
        files = [self.path] if self.kind == "gguf" else sorted(self.path.glob("*.*"))
        stats = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
        return hashlib.sha256(repr(stats).encode()).hexdigest()[:12] if stats else "missing"
