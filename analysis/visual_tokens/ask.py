"""One question about one picture: the answer, where each written token looked, and what the layers did."""

from __future__ import annotations

import hashlib
import importlib.metadata
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from analysis.errors import AnalysisError, TooLongError
from analysis.forward.attention_adapter import AttentionCall, attending
from analysis.models.token_names import special_ids, token_texts
from analysis.models.tokenization import tokens_of_ids
from analysis.progress import Progress, silent
from analysis.results.layers import LayerTrace
from analysis.results.tokens import TokenTrace
from analysis.results.trace import Check, Trace, TraceSpec
from analysis.visual_tokens.boxes import NEWLINE
from analysis.visual_tokens.decoding import Written, write_greedily
from analysis.visual_tokens.images import to_png
from analysis.visual_tokens.layers import LayersRecorder
from analysis.visual_tokens.looking import LookingRecorder, Places
from analysis.visual_tokens.parts import language_layers, language_part, visual_positions
from analysis.visual_tokens.patches import crops, token_patches
from analysis.visual_tokens.results import (
    PositionKind,
    PromptPositions,
    SeenPicture,
    VisualAnswer,
    VisualSpec,
)
from analysis.visual_tokens.tower import read_image_once
from analysis.visual_tokens.vision_model import PreparedQuestion, VisionModel

if TYPE_CHECKING:
    from PIL.Image import Image

_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pillow")
_PROMPT = 0.5
"""Share of the progress that reading the prompt is."""
_SAME_LOGITS, _SAME_IN_HALF = 1e-4, 5e-2
"""Most that log-probabilities may differ from the model's own, times the largest logit; in 16 bits."""


def ask(
    vlm: VisionModel,
    image: bytes | str | Path | Image,
    question: str,
    *,
    max_new: int = 32,
    top_k: int = 10,
    on_progress: Progress = silent,
) -> VisualAnswer:
    """Let a vision-language model answer a question about a picture, and measure how.

    Parameters
    ----------
    vlm : VisionModel
        Of :func:`load_vision_model`.
    image : bytes, str, pathlib.Path or PIL.Image.Image
        PNG, JPEG, WebP, GIF or BMP: a file's content, its path, or an open image.
    question : str
    max_new : int, default 32
        Most tokens of the answer, which is the likeliest token each time.
    top_k : int, default 10
        Alternatives kept of each token.
    on_progress : callable
        Called with the share that is done and a text.

    Returns
    -------
    VisualAnswer

    Raises
    ------
    UnreadableImageError, InvalidTextError, TooLongError
        As :meth:`VisionModel.prepare` does.
    UnsupportedModelError
        If the model attends in a way that cannot be measured.
    OutOfMemoryError
        If the memory of the device runs out.

    Notes
    -----
    The picture goes through the tower once. The language model attends by the library's fused function under the
    library's masks; beside it only the rows after the image are made, and reduced at once.
    """
    if max_new < 1 or top_k < 1:
        raise AnalysisError("An answer has at least one token, and one alternative.", "Use 1 or more.")
    with vlm.held("while answering"):
        return _measure(vlm, vlm.prepare(image, question), question, max_new, top_k, on_progress)


def _measure(
    vlm: VisionModel, prepared: PreparedQuestion, question: str, max_new: int, top_k: int, report: Progress
) -> VisualAnswer:
    started = time.perf_counter()
    report(0.0, "vision tower")
    model, limit = vlm.model, vlm.info.context_length
    most = max_new if limit is None else min(max_new, limit - prepared.n_prompt)
    if most < 1:
        raise TooLongError(
            f"Picture and question fill the {limit:,} tokens that {vlm.name} reads.", "Shorten the question."
        )
    places, positions = _places(vlm, prepared)
    once = read_image_once(model, prepared.inputs)
    tower_done = time.perf_counter()
    blocks = language_layers(model)
    looking, layers = LookingRecorder(places, len(blocks)), LayersRecorder(model, places)

    def attend(call: AttentionCall) -> Tensor:
        layers.see_queries(call)
        return looking.attend(call)

    def on_layer(layer: int) -> None:
        report(_PROMPT * (layer + 1) / (len(blocks) + 1), f"layer {layer + 1} of {len(blocks)}")

    def on_token(n: int) -> None:
        report(_PROMPT + (1 - _PROMPT) * n / (most + 1), f"token {n}")

    part = language_part(model)
    with (
        attending(part, SimpleNamespace(layers=blocks), attend, library_masks="fused"),
        layers.recording(on_layer),
    ):
        written = write_greedily(model, once, vlm.ends, most, top_k=top_k, on_token=on_token)
    measured = time.perf_counter()
    own = model(**once, use_cache=False, logits_to_keep=1).logits[0, -1]
    checks = (*looking.checks(), _same_logits(own, written.first_logits))
    seconds = {
        "tower": tower_done - started,
        "answer": measured - tower_done,
        "check": time.perf_counter() - measured,
    }
    n = len(written.ids)
    trace = _trace(vlm, written, layers.written_norms(n), prepared.n_prompt)
    ends = vlm.ends
    said = [i for i in written.ids if i not in ends]
    report(1.0, "done")
    return VisualAnswer(
        text=vlm.tokenizer.decode(said, skip_special_tokens=True).strip(),
        trace=trace,
        picture=_seen(model, prepared),
        prompt=positions,
        looking=looking.looking(n),
        layers=layers.layers(),
        spec=_spec(vlm, prepared, question, places, n, max_new, top_k),
        checks=checks,
        unavailable=dict(layers.unavailable),
        seconds=seconds,
        notes=(*vlm.info.notes, *prepared.picture.notes),
    )


def _places(vlm: VisionModel, prepared: PreparedQuestion) -> tuple[Places, PromptPositions]:
    """Positions of the prompt by what stands there."""
    ids = prepared.inputs["input_ids"][0]
    under_image = visual_positions(vlm.model, ids).cpu()
    newline = torch.as_tensor(prepared.boxes.view == NEWLINE)
    is_text = torch.ones(len(ids), dtype=torch.bool)
    is_text[under_image] = False
    places = Places(under_image[~newline], under_image[newline], is_text.nonzero()[:, 0], len(ids))
    listed, special = ids.tolist(), special_ids(vlm.tokenizer)
    names = token_texts(vlm.tokenizer, set(listed))
    kinds: list[PositionKind] = ["special" if i in special else "text" for i in listed]
    for position, is_newline in zip(under_image.tolist(), newline.tolist(), strict=True):
        kinds[position] = "newline" if is_newline else "image"
    shown = tuple(names[i] for i in listed)
    return places, PromptPositions(shown, tuple(kinds), places.visual.numpy())


def _seen(model: Any, prepared: PreparedQuestion) -> SeenPicture:
    boxes, image = prepared.boxes, prepared.picture.image
    place = boxes.view != NEWLINE
    crop = crops(boxes, token_patches(model, boxes))
    return SeenPicture(
        png=to_png(image),
        width=image.width,
        height=image.height,
        boxes=boxes.box[place].astype(np.float64),
        row=boxes.row[place].astype(np.int64),
        column=boxes.column[place].astype(np.int64),
        crop=np.zeros(int(place.sum()), np.int64) if crop is None else crop.numpy().astype(np.int64),
        unseen=boxes.unseen,
        notes=prepared.picture.notes,
    )


def _trace(vlm: VisionModel, written: Written, norms: np.ndarray, n_prompt: int) -> Trace:
    """The written tokens as a run of their own."""
    text, tokens = tokens_of_ids(vlm.tokenizer, written.ids)
    n, info = len(written.ids), vlm.info
    known = {*written.ids, *written.rows["top_ids"].ravel().tolist(), *written.next.top_ids.tolist()}
    kinds = {"rank": np.int32, "top_ids": np.int64}
    rows = {name: values.astype(kinds.get(name, np.float32)) for name, values in written.rows.items()}
    names = token_texts(vlm.tokenizer, known)
    about = TokenTrace(
        token_id=tokens.token_id,
        text=tuple(names[int(i)] for i in tokens.token_id),
        start=tokens.start,
        end=tokens.end,
        n_bytes=tokens.n_bytes,
        is_special=tokens.is_special,
        cell=tokens.cell,
        cell_text=tokens.cell_text,
        context=np.arange(n_prompt, n_prompt + n, dtype=np.int32),
        names=names,
        **rows,
    )
    spec = TraceSpec(
        model=info.name,
        source=vlm.spec.source,
        revision=info.revision,
        dtype=info.dtype,
        device=info.device_name,
        text_sha256=hashlib.sha256(text.encode()).hexdigest(),
        n_tokens=n,
        vocab_size=info.vocab_size,
        n_layers=info.n_layers,
        hidden_size=info.hidden_size,
        top_k=rows["top_ids"].shape[1],
        ids_sha256=hashlib.sha256(tokens.token_id.astype("<i8").tobytes()).hexdigest(),
    )
    return Trace(
        spec=spec,
        text=text,
        tokens=about,
        next=written.next,
        layers=LayerTrace(residual_norm=norms),
        checks=(),
        unavailable={"attention": "Where written tokens look on the picture is measured instead."},
        versions={name: importlib.metadata.version(name) for name in _PACKAGES},
    )


def _spec(
    vlm: VisionModel,
    prepared: PreparedQuestion,
    question: str,
    places: Places,
    n_written: int,
    max_new: int,
    top_k: int,
) -> VisualSpec:
    image, info = prepared.picture.image, vlm.info
    size = f"{image.width}x{image.height}:".encode()
    return VisualSpec(
        model=info.name,
        source=vlm.spec.source,
        revision=info.revision,
        family=info.family,
        dtype=info.dtype,
        device=info.device_name,
        question=question,
        image_sha256=hashlib.sha256(size + image.tobytes()).hexdigest(),
        n_visual=len(places.visual),
        n_newlines=len(places.newlines),
        n_prompt=places.n_prompt,
        n_written=n_written,
        n_layers=info.n_layers,
        n_heads=int(language_part(vlm.model).config.num_attention_heads),
        hidden_size=info.hidden_size,
        vocab_size=info.vocab_size,
        max_new=max_new,
        top_k=top_k,
    )


def _same_logits(own: Tensor, measured: Tensor) -> Check:
    """Whether the first token's distribution is the one that the model gives without being measured."""
    largest = max(1.0, float(own.float().abs().max()))
    error = float((own.float().log_softmax(-1) - measured.log_softmax(-1)).abs().max())
    wide = own.dtype in (torch.float32, torch.float64)
    return Check(
        "log-probabilities of the first token are those of the model by itself",
        error,
        (_SAME_LOGITS if wide else _SAME_IN_HALF) * largest,
    )
