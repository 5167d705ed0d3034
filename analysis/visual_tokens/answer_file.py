"""Answer files: a picture, a question, the answer and where it came from, in one file that opens without a model.

A file is safetensors, as a trace file is: named arrays and a JSON header. The written tokens lie in it as a trace file
does, and the picture as a PNG of its pixels alone. Nothing in it can run.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from analysis.results.file_parts import bytes_of, open_content, read_file, write_file
from analysis.results.trace import Check
from analysis.results.trace_file import trace_bytes, trace_from_bytes
from analysis.results.validate import require
from analysis.visual_tokens.results import (
    POSITION_KINDS,
    Looking,
    PromptPositions,
    SeenPicture,
    VisualAnswer,
    VisualLayers,
    VisualSpec,
)

SCHEMA_VERSION = 1
KEY = "logitscope-look"
"""Name of the header in the file."""
MOST_PIXELS = 4_500_000
"""Of a picture in a file: pictures are at most 2,048 pixels on a side when they are read."""
_SLACK = 1e-3
"""Rounding allowed beyond the range of a share."""
_ARRAYS: dict[str, type] = {"picture": SeenPicture, "looking": Looking, "layers": VisualLayers}


def save_answer(answer: VisualAnswer, path: str | Path) -> Path:
    """Write an answer to a file, completely or not at all.

    Parameters
    ----------
    answer : VisualAnswer
    path : str or pathlib.Path
        Target, by custom ending in ``.look``. Replaced if it exists.

    Raises
    ------
    AnalysisError
        If the place cannot be written.
    """
    return write_file(answer_bytes(answer), path)


def answer_bytes(answer: VisualAnswer) -> bytes:
    """The content of a file."""
    arrays = {
        "trace": np.frombuffer(trace_bytes(answer.trace), np.uint8),
        "picture.png": np.frombuffer(answer.picture.png, np.uint8),
        "prompt.visual": answer.prompt.visual,
    }
    for part in _ARRAYS:
        values = getattr(answer, part)
        for field in fields(values):
            value = getattr(values, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{part}.{field.name}"] = value
    header = {
        "schema": SCHEMA_VERSION,
        "text": answer.text,
        "spec": asdict(answer.spec),
        "positions": answer.prompt.text,
        "kinds": answer.prompt.kind,
        "unseen": answer.picture.unseen,
        "done_to_picture": answer.picture.notes,
        "sink_dimensions": answer.layers.sink_dimensions,
        "checks": [asdict(check) for check in answer.checks],
        "unavailable": answer.unavailable,
        "seconds": answer.seconds,
        "notes": answer.notes,
    }
    return bytes_of(arrays, {KEY: json.dumps(header)})


def load_answer(path: str | Path) -> VisualAnswer:
    """Open an answer about a picture that was saved; no model is needed.

    Parameters
    ----------
    path : str or pathlib.Path
        What :meth:`VisualAnswer.save` wrote.

    Returns
    -------
    VisualAnswer

    Raises
    ------
    BrokenFileError
        If the file is missing, damaged, of another kind, or of a newer version.
    """
    data, name = read_file(path)
    return answer_from_bytes(data, name)


def answer_from_bytes(data: bytes, name: str = "the file") -> VisualAnswer:
    """Open the content of a file; ``name`` is for messages.

    Raises
    ------
    BrokenFileError
        As :func:`load_answer`.
    """
    return open_content(data, name, KEY, SCHEMA_VERSION, _assemble, what="look")


def _assemble(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> VisualAnswer:
    spec = VisualSpec(**header["spec"])
    for field in fields(VisualSpec):
        kind = int if field.type == "int" else str
        require(type(getattr(spec, field.name)) is kind, f"spec.{field.name}")
    png = arrays["picture.png"].tobytes()

    def part(name: str, **plain: Any) -> dict[str, Any]:
        wanted = {f.name for f in fields(_ARRAYS[name])}
        return {k: arrays[f"{name}.{k}"] for k in wanted if f"{name}.{k}" in arrays} | plain

    picture = part("picture", png=png, notes=tuple(str(note) for note in header["done_to_picture"]))
    width, height = _size_of(png, spec)
    looking = part("looking")
    looking.setdefault("attention", None)
    answer = VisualAnswer(
        text=str(header["text"]),
        trace=trace_from_bytes(arrays["trace"].tobytes()),
        picture=SeenPicture(width=width, height=height, unseen=float(header["unseen"]), **picture),
        prompt=PromptPositions(
            tuple(str(text) for text in header["positions"]), tuple(header["kinds"]), arrays["prompt.visual"]
        ),
        looking=Looking(**looking),
        layers=VisualLayers(
            sink_dimensions=tuple(int(d) for d in header["sink_dimensions"]), **part("layers")
        ),
        spec=spec,
        checks=tuple(Check(**check) for check in header["checks"]),
        unavailable={str(name): str(why) for name, why in header["unavailable"].items()},
        seconds={str(name): float(s) for name, s in header["seconds"].items()},
        notes=tuple(str(note) for note in header["notes"]),
    )
    _check(answer)
    return answer


def _size_of(png: bytes, spec: VisualSpec) -> tuple[int, int]:
    """Width and height of the picture inside, which must be the one that was asked about."""
    from PIL import Image

    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        require(image.mode == "RGB" and image.width * image.height <= MOST_PIXELS, "picture")
        pixels = image.tobytes()
        size = image.size
    named = f"{size[0]}x{size[1]}:".encode()
    require(hashlib.sha256(named + pixels).hexdigest() == spec.image_sha256, "another picture")
    return size


def _check(answer: VisualAnswer) -> None:
    """Refuse an answer whose parts do not belong together.

    Raises
    ------
    ValueError
        Naming what does not fit.
    """
    spec, n, a = answer.spec, answer.spec.n_visual, answer.spec.n_written
    layers, heads = spec.n_layers, spec.n_heads
    require(len(answer.trace.tokens) == a and answer.trace.spec.n_layers == layers, "written tokens")
    require(answer.trace.spec.vocab_size == spec.vocab_size, "vocabulary")
    kinds = answer.prompt.kind
    require(len(kinds) == len(answer.prompt.text) == spec.n_prompt, "positions of the prompt")
    require(set(kinds) <= set(POSITION_KINDS), "kinds of positions")
    at_image = [i for i, kind in enumerate(kinds) if kind == "image"]
    require(answer.prompt.visual.dtype == np.int64 and answer.prompt.visual.tolist() == at_image, "image")
    require(len(at_image) == n and kinds.count("newline") == spec.n_newlines, "visual tokens")
    _check_shapes("picture", answer.picture, {"boxes": (np.float64, (n, 4))} | dict.fromkeys(("row", "column", "crop"), (np.int64, (n,))))  # fmt: skip
    require(bool((answer.picture.crop >= 0).all()), "crops")
    of_heads, of_layers = (np.float32, (a, layers, heads)), (np.float64, (a, layers))
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
        "mean": (np.float32, (a, layers, n)),
        "received": (np.float32, (layers, n)),
        "attended": (np.bool_, (layers, n)),
    }
    shapes |= dict.fromkeys(("share_visual", "share_newlines", "share_first", "entropy"), of_heads)
    shapes |= dict.fromkeys(("mdi", "aei", "mdi_without_first", "aei_without_first"), of_layers)
    if answer.looking.attention is not None:
        shapes["attention"] = (np.float32, (a, layers, heads, n))
    _check_shapes("looking", answer.looking, shapes)
    for name in ("mean", "received", "attention", "share_visual", "share_newlines", "share_first"):
        values = getattr(answer.looking, name)
        outside = values is not None and bool(((values < -_SLACK) | (values > 1 + _SLACK)).any())
        require(not outside, f"looking.{name}")
    states, scores = (np.float32, (layers + 1, n)), (np.float32, (layers, n))
    shapes = {"norms": states, "massive": (np.bool_, (layers + 1, n))}
    shapes |= dict.fromkeys(("patch_entropy", "patch_entropy_released", "transition"), scores)
    entropies = ("matrix_entropy_visual", "matrix_entropy_text", "matrix_entropy_text_without_first")
    shapes |= dict.fromkeys(entropies, (np.float64, (layers + 1,)))
    _check_shapes("layers", answer.layers, shapes)
    for check in answer.checks:
        require(isinstance(check.name, str) and isinstance(check.unit, str), "a check")
        require(all(isinstance(v, (int, float)) for v in (check.error, check.tolerance)), "a check")


def _check_shapes(part: str, values: Any, shapes: dict[str, tuple[Any, tuple[int, ...]]]) -> None:
    for name, (dtype, shape) in shapes.items():
        array = getattr(values, name)
        right = isinstance(array, np.ndarray) and array.dtype == dtype and array.shape == shape
        require(right, f"{part}.{name} is not {np.dtype(dtype)} of shape {shape}")
