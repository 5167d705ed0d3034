"""Which model, on which device, in which precision: a frozen, valid description."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from analysis.errors import AnalysisError
from analysis.models.embedded import SHA256
from analysis.paths import clean_path

EMBEDDED = "embedded"
"""Source name of the model that comes with the project."""

Precision = Literal["auto", "float32", "bfloat16", "float16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Kind = Literal["embedded", "hub", "folder", "gguf"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_REVISION = re.compile(r"(?!.*\.\.)[\w][\w./-]{0,199}")
_LONGEST_NAME = 255
"""A longer name without a slash in front is neither a hub id nor a folder here."""
_DEVICE = re.compile(r"auto|spread|cpu|mps|cuda(:\d{1,2})?")
_PLACE = re.compile(r"cpu|disk|mps|cuda:\d{1,2}")


@dataclass(frozen=True)
class ModelSpec:
    """A model to load. One that exists is valid; it is the key of every cache.

    Raises
    ------
    AnalysisError
        If the source is neither a hub id, a folder nor a ``.gguf`` file, or device,
        precision, revision, adapter or device map is not one that can exist.

    Notes
    -----
    Source and adapter are kept without the quotes and blanks they were pasted with.
    """

    source: str = EMBEDDED
    """"embedded", a hub id such as ``org/name``, a folder, or a ``.gguf`` file."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; None is the default branch."""
    device: str = "auto"
    """"auto" (CUDA when there is one; several devices where the weights do not fit into it), "cpu", "mps",
    "cuda", "cuda:1", or "spread" (over all devices, memory and disk)."""
    dtype: Precision = "auto"
    """"auto" is float32 on the CPU and the checkpoint's own precision on an accelerator."""
    adapter: str | None = None
    """Folder or hub id of an adapter (LoRA and its kin) to merge into the weights; None is the model alone."""
    device_map: tuple[tuple[str, str], ...] = ()
    """Where each module goes, as pairs such as ``("model.layers.2", "disk")``; empty leaves it to ``device``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", clean_path(self.source))
        if self.adapter is not None:
            object.__setattr__(self, "adapter", clean_path(self.adapter))
            self._check_adapter(self.adapter)
        if not _DEVICE.fullmatch(self.device):
            raise AnalysisError(
                f"There is no device called {self.device!r}.", "Use auto, spread, cpu, cuda or mps."
            )
        for module, place in self.device_map:
            if not _PLACE.fullmatch(place):
                raise AnalysisError(
                    f"{module or 'The whole model'} cannot be put on {place!r}.", "Use cpu, disk or cuda:0."
                )
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
            _check_path(self.source)
        if self.kind == "hub" and not _HUB_ID.fullmatch(self.source):
            raise AnalysisError(
                f"{self.source[:80]!r} is neither a hub id, a folder nor a .gguf file.",
                "A hub id looks like org/name; a folder path starts with / or ./ or ends with /.",
            )

    @property
    def kind(self) -> Kind:
        """What the source is. A folder that exists wins over a hub id of the same name."""
        if self.source == EMBEDDED:
            return "embedded"
        if self.source.lower().endswith(".gguf"):
            return "gguf"
        return "folder" if is_folder(self.source) else "hub"

    @property
    def path(self) -> Path:
        """The folder or file of a local source."""
        return Path(self.source).expanduser()

    @property
    def name(self) -> str:
        """Short name for a screen: last part of a path, or the hub id."""
        own = "SmolLM2-135M-Instruct" if self.kind == "embedded" else _short(self.source)
        return own if self.adapter is None else f"{own} + {_short(self.adapter)}"

    def fingerprint(self, commit: str | None = None) -> str:
        """Changes when a local model changes on disk; the revision for a hub model.

        Parameters
        ----------
        commit : str, optional
            What the revision of a hub model stands for, where that is known.
        """
        if self.kind == "hub":
            own = commit or self.revision or "main"
        else:
            own = SHA256[:12] if self.kind == "embedded" else _of_files(self.path)
        if self.adapter is None or not is_folder(self.adapter):
            return own
        return f"{own}+{_of_files(Path(self.adapter).expanduser())}"

    def _check_adapter(self, adapter: str) -> None:
        if is_folder(adapter):
            _check_path(adapter)
        elif not _HUB_ID.fullmatch(adapter):
            raise AnalysisError(
                f"{adapter[:80]!r} is neither a folder nor a hub id of an adapter.",
                "Name the folder that holds adapter_config.json, or a hub id such as org/name.",
            )


def is_folder(text: str) -> bool:
    """Whether a source means a folder rather than a hub id: by how it is written, or because it is there."""
    if text.startswith(("/", "./", "../", "~")) or text.endswith("/"):
        return True
    return 0 < len(text) <= _LONGEST_NAME and Path(text).is_dir()


def _check_path(text: str) -> None:
    """Refuse a path that no file system can hold, before anything asks for it."""
    try:
        Path(text).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AnalysisError(
            f"{text[:80]!a} cannot be a path ({reason.strip(' .')}).",
            "Check the path, or use a hub id such as org/name.",
        ) from None


def _short(source: str) -> str:
    """Last part of a path; a hub id whole."""
    return Path(source).name if source.lower().endswith(".gguf") or is_folder(source) else source


def _of_files(path: Path) -> str:
    files = [path] if path.is_file() else sorted(path.glob("*.*"))
    stats = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:12] if stats else "missing"
