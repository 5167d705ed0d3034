"""A hand-made answer about a picture: every part has the right kind, shape and range, and the shares add up."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from PIL import Image

from analysis.results.layers import LayerTrace
from analysis.results.tokens import NextToken, TokenTrace
from analysis.results.trace import Check, Trace, TraceSpec
from analysis.visual_tokens.boxes import grid_boxes
from analysis.visual_tokens.images import to_png
from analysis.visual_tokens.measures import modality_balance
from analysis.visual_tokens.results import (
    Looking,
    PromptPositions,
    SeenPicture,
    VisualAnswer,
    VisualLayers,
    VisualSpec,
)

WORDS = ("<s>", "</s>", "<image>", "▁what", "▁colour", "▁is", "▁it", "?", "▁dark", "▁red", "▁blue")
PIECES = ("", "", "", " what", " colour", " is", " it", "?", " dark", " red", " blue")
QUESTION = (3, 4, 5, 6, 7)
WRITTEN = (8, 9, 1)
N_LAYERS, N_HEADS, WIDTH, TOP_K, SIDE = 4, 2, 8, 3, 96


def made_answer(n: int = 16, seed: int = 0) -> VisualAnswer:
    """Make an answer of three tokens ("dark red") about a picture of n visual tokens.

    Parameters
    ----------
    n : int
        A square number; the grid's first token is a sink by attention and by its state.
    seed : int
        Of picture and numbers.
    """
    rng = np.random.default_rng(seed)
    trace, n_written = _trace(rng, 1 + n + len(QUESTION)), len(WRITTEN)
    layers = _layers(rng, n)
    picture, png_hash = _picture(rng, n)
    names = ("<s>", *["<image>"] * n, *(WORDS[i] for i in QUESTION))
    kinds = ("special", *["image"] * n, *["text"] * len(QUESTION))
    spec = VisualSpec(
        model="a made-up model",
        source="made",
        revision="r",
        family="llava",
        dtype="float32",
        device="a device",
        question="what colour is it?",
        image_sha256=png_hash,
        n_visual=n,
        n_newlines=0,
        n_prompt=len(names),
        n_written=n_written,
        n_layers=N_LAYERS,
        n_heads=N_HEADS,
        hidden_size=WIDTH,
        vocab_size=len(WORDS),
        max_new=8,
        top_k=TOP_K,
    )
    return VisualAnswer(
        text="dark red",
        trace=trace,
        picture=picture,
        prompt=PromptPositions(names, kinds, np.arange(1, 1 + n)),
        looking=_looking(rng, n, n_written),
        layers=layers,
        spec=spec,
        checks=(Check("rows of attention sum to 1", 1e-7, 1e-5, "share"),),
        seconds={"answer": 0.1},
        notes=("This answer was made up.",),
    )


def _picture(rng: np.random.Generator, n: int) -> tuple[SeenPicture, str]:
    side = round(n**0.5)
    assert side * side == n
    pixels = (
        rng.integers(0, 256, (side, side, 3)).astype(np.uint8).repeat(SIDE // side, 0).repeat(SIDE // side, 1)
    )
    image = Image.fromarray(pixels)
    boxes = grid_boxes(image.size, (side, side))
    seen = SeenPicture(
        png=to_png(image),
        width=image.width,
        height=image.height,
        boxes=boxes.box,
        row=boxes.row,
        column=boxes.column,
        crop=np.zeros(n, np.int64),
    )
    named = f"{image.width}x{image.height}:".encode()
    return seen, hashlib.sha256(named + pixels.tobytes()).hexdigest()


def _trace(rng: np.random.Generator, n_prompt: int) -> Trace:
    a = len(WRITTEN)
    logits = rng.normal(0, 2, (a + 1, len(WORDS)))
    for row, token in enumerate(WRITTEN):
        logits[row, token] = logits[row].max() + 1  # greedy
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    entropy = -(np.exp(log_p) * log_p).sum(-1)
    varentropy = (np.exp(log_p) * (log_p + entropy[:, None]) ** 2).sum(-1)
    top = np.argsort(-log_p, axis=-1, kind="stable")[:, :TOP_K]
    top_logprobs = np.take_along_axis(log_p, top, -1).astype(np.float32)
    pieces = [PIECES[i] for i in WRITTEN]
    ends = np.cumsum([len(p) for p in pieces])
    text, special = "".join(pieces), np.array([not p for p in pieces])
    ids = np.array(WRITTEN, np.int64)
    tokens = TokenTrace(
        token_id=ids,
        text=tuple(WORDS[i] for i in WRITTEN),
        start=np.where(special, -1, ends - [len(p) for p in pieces]).astype(np.int32),
        end=np.where(special, -1, ends).astype(np.int32),
        n_bytes=np.array([len(p) for p in pieces], np.int32),
        is_special=special,
        cell=np.arange(a, dtype=np.int32),
        cell_text=tuple(p or WORDS[i] for p, i in zip(pieces, WRITTEN, strict=True)),
        context=np.arange(n_prompt, n_prompt + a, dtype=np.int32),
        surprisal=-log_p[np.arange(a), ids].astype(np.float32),
        entropy=entropy[:a].astype(np.float32),
        varentropy=varentropy[:a].astype(np.float32),
        max_prob=np.exp(log_p[:a].max(-1)).astype(np.float32),
        rank=np.ones(a, np.int32),
        top_ids=top[:a].astype(np.int64),
        top_logprobs=top_logprobs[:a],
        names=dict(enumerate(WORDS)),
    )
    after = NextToken(
        float(entropy[a]),
        float(varentropy[a]),
        float(np.exp(log_p[a].max())),
        top[a].astype(np.int64),
        top_logprobs[a],
    )
    spec = TraceSpec(
        model="a made-up model",
        source="made",
        revision="r",
        dtype="float32",
        device="a device",
        text_sha256=hashlib.sha256(text.encode()).hexdigest(),
        n_tokens=a,
        vocab_size=len(WORDS),
        n_layers=N_LAYERS,
        hidden_size=WIDTH,
        top_k=TOP_K,
        ids_sha256=hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest(),
    )
    layers = LayerTrace(residual_norm=rng.uniform(1, 9, (N_LAYERS + 1, a)).astype(np.float32))
    return Trace(spec, text, tokens, after, layers, (), unavailable={"attention": "Made up."})


def _looking(rng: np.random.Generator, n: int, a: int) -> Looking:
    rows = np.zeros((a, N_LAYERS, N_HEADS, 1 + n + len(QUESTION) + a - 1))
    for t in range(a):
        seen = 1 + n + len(QUESTION) + t
        scores = rng.normal(0, 2, (N_LAYERS, N_HEADS, seen))
        scores[..., 1] = scores[..., 2 : 1 + n].max(-1) + np.log(n)
        rows[t, ..., :seen] = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    visual = np.zeros(rows.shape[-1], bool)
    visual[1 : 1 + n] = True
    balance = np.zeros((2, 2, a, N_LAYERS))
    for t, layer in np.ndindex(a, N_LAYERS):
        seen = slice(1 + n + len(QUESTION) + t)
        row = rows[t, layer].mean(0)[None, seen]
        balance[:, 0, t, layer] = modality_balance(row, visual[seen])
        balance[:, 1, t, layer] = modality_balance(row, visual[seen], without_first=True)
    on_image = rows[..., visual]
    share = on_image / on_image.sum(-1, keepdims=True)
    even = share.mean(2) > 10 / n  # (A, L, N)
    return Looking(
        mean=on_image.mean(2).astype(np.float32),
        attention=on_image.astype(np.float32),
        share_visual=on_image.sum(-1).astype(np.float32),
        share_newlines=np.zeros(rows.shape[:3], np.float32),
        share_first=rows[..., 0].astype(np.float32),
        entropy=-(share * np.log(share)).sum(-1).astype(np.float32),
        mdi=balance[0, 0],
        aei=balance[1, 0],
        mdi_without_first=balance[0, 1],
        aei_without_first=balance[1, 1],
        received=on_image.mean((0, 2)).astype(np.float32),
        attended=even.mean(0) >= 0.5,
    )


def _layers(rng: np.random.Generator, n: int) -> VisualLayers:
    massive = np.zeros((N_LAYERS + 1, n), bool)
    massive[2:, 0] = True
    most = np.log(min(n - 1, WIDTH))
    return VisualLayers(
        matrix_entropy_visual=most * np.array([0.9, 0.85, 0.4, 0.38, 0.35]),
        matrix_entropy_text=np.log(len(QUESTION)) * np.array([0.9, 0.88, 0.86, 0.85, 0.84]),
        matrix_entropy_text_without_first=np.log(len(QUESTION)) * np.array([0.8, 0.78, 0.76, 0.75, 0.74]),
        norms=rng.uniform(1, 9, (N_LAYERS + 1, n)).astype(np.float32),
        patch_entropy=rng.uniform(0, 1, (N_LAYERS, n)).astype(np.float32),
        patch_entropy_released=rng.normal(0, 5, (N_LAYERS, n)).astype(np.float32),
        transition=rng.uniform(0, 0.2, (N_LAYERS, n)).astype(np.float32),
        massive=massive,
        sink_dimensions=(3,),
    )


def same_picture(n: int = 16, seed: int = 1) -> VisualAnswer:
    """Another answer about the picture of ``made_answer(n)``: to another question, with other numbers."""
    first, other = made_answer(n), made_answer(n, seed)
    spec = replace(other.spec, question="is it large?", image_sha256=first.spec.image_sha256)
    return replace(other, picture=first.picture, spec=spec)
