"""The training itself: stage after stage, a log of JSON lines, checkpoints from which it goes on."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration

from analysis.visual_tokens.scenes.drawing import LABELS
from analysis.visual_tokens.scenes.scene import SPLITS
from analysis.visual_tokens.shipped.build import build_model
from analysis.visual_tokens.shipped.packed_pass import (
    answer_logits,
    answered_right,
    logits_of,
    patch_states,
    project,
    read,
)
from analysis.visual_tokens.shipped.packing import Packer, draw, scaled
from analysis.visual_tokens.shipped.words import build_tokenizer
from analysis.visual_tokens.training.checkpoint import Learner, load_checkpoint, read_place, save_checkpoint
from analysis.visual_tokens.training.lesson import Lesson, lesson_of, lessons
from analysis.visual_tokens.training.losses import PatchHeads, answer_losses
from analysis.visual_tokens.training.products import short_products
from analysis.visual_tokens.training.recipe import (
    CLIP,
    DENSE,
    END,
    NAMED,
    STAGES,
    Stage,
    optimizer_for,
    set_rate,
)

LOG = "log.jsonl"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often what is done beside learning.

    Parameters
    ----------
    save : float
        Seconds between checkpoints.
    log, check : int
        Steps between lines with losses, and between checks on validation scenes.
    n_checked : int
        Validation scenes of a check.
    """

    save: float = 300.0
    log: int = 25
    check: int = 250
    n_checked: int = 192


def train(
    folder: Path,
    *,
    stages: Sequence[Stage] = STAGES,
    seed: int = 0,
    pace: Pace = Pace(),
    short: bool = True,
    device: str = "cpu",
    workers: int = 0,
) -> LlavaForConditionalGeneration:
    """Train the model, or go on where the checkpoint in the folder stands.

    Parameters
    ----------
    folder : pathlib.Path
        For the checkpoint and the log ``log.jsonl``; made if it is not there.
    stages : sequence of Stage
        Those of the checkpoint win.
    seed : int, default 0
        Of the first weights. The pictures do not depend on it.
    pace : Pace
    short : bool, default True
        Whether products are computed in bfloat16: half as long again without, on processors that know it.
    device : str, default "cpu"
        Where the steps are computed, as PyTorch names it.
    workers : int, default 0
        Processes that draw scenes ahead. The scenes are the same.

    Returns
    -------
    LlavaForConditionalGeneration
        On the CPU.

    Raises
    ------
    BrokenFileError
        If the checkpoint cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = read_place(folder)
    first, done, settings = place or (0, 0, {"stages": [asdict(s) for s in stages], "seed": seed})
    stages = [Stage(**s) for s in settings["stages"]]
    at = torch.device(device)
    model, heads = build_model(settings["seed"]).to(at), PatchHeads(settings["seed"]).to(at)
    packer = Packer(build_tokenizer())
    for number in range(first, len(stages)):
        stage = stages[number]
        learner = Learner(model, heads, optimizer_for(model, heads, stage), number, 0)
        if number == first and place:
            load_checkpoint(learner, folder)
            learner.step = done
        start = SPLITS["train"].start + sum(s.steps * s.batch for s in stages[:number])
        taught = lessons(stage, packer, start, learner.step, device=at, workers=workers)
        with _rounded(model, at) if short else nullcontext():
            for _ in _steps(learner, stage, packer, taught, folder, pace):
                save_checkpoint(learner, folder, settings)
    return model.cpu().eval()


def _rounded(model: LlavaForConditionalGeneration, device: torch.device) -> AbstractContextManager:
    """Products in bfloat16: by the library's own mixed precision, but on a CPU, where that is slow.

    Rounded weights are not kept: the next step has others.
    """
    if device.type == "cpu":
        return short_products(model)
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def _steps(
    learner: Learner, stage: Stage, packer: Packer, taught: Iterator[Lesson], folder: Path, pace: Pace
) -> Iterator[None]:
    """Go through the rest of a stage and its log; stops wherever a checkpoint is due."""
    sums: dict[str, torch.Tensor | float] = {}
    n_summed = 0
    saved, spent = time.monotonic(), time.process_time()
    for lesson in taught:
        for name, value in learn(learner, stage, lesson).items():
            sums[name] = sums.get(name, 0.0) + value
        n_summed += 1
        last = learner.step == stage.steps
        if learner.step % pace.log == 0 or last:
            now = time.process_time()
            means = {name: round(float(value) / n_summed, 5) for name, value in sums.items()}
            _log(folder, stage, learner.step, means | {"cpu_seconds": round(now - spent, 1)})
            sums.clear()
            n_summed, spent = 0, now
        if learner.step % pace.check == 0 or last:
            _log(folder, stage, learner.step, check(learner, stage, packer, pace.n_checked))
        if time.monotonic() - saved > pace.save or last:
            yield
            saved = time.monotonic()


def learn(learner: Learner, stage: Stage, lesson: Lesson) -> dict[str, torch.Tensor]:
    """Take one step; nothing waits for the device.

    Returns
    -------
    dict
        Numbers in float64, on the device. "patches": loss of the patches (nats, summed over labels); "place", where
        it is learned: that of their places. In a stage of answers also "answer" and "end", mean losses of their
        tokens (nats), "right", share of the questions answered rightly, and "named", where it is learned: loss of
        the places of named items (nats).
    """
    set_rate(learner.optimizer, stage, learner.step)
    states = patch_states(learner.model, scaled(lesson.pixels))
    loss = dense = learner.heads.loss(states, lesson.labels)
    parts = {"patches": dense}
    if stage.name == "answers":
        batch = lesson.batch
        last, layers = read(learner.model, project(learner.model, states), batch, every_layer=stage.named > 0)
        logits = logits_of(learner.model, last, batch)
        answer, end = answer_losses(logits, batch)
        loss = answer + END * end + DENSE * dense
        parts |= {"answer": answer, "end": end, "right": answered_right(logits, batch).float().mean()}
        if stage.named:
            parts["named"] = learner.heads.named_loss(layers[NAMED], lesson.named)
            loss = loss + stage.named * parts["named"]
    if stage.place:
        parts["place"] = learner.heads.place_loss(states)
        loss = loss + stage.place * parts["place"]
    learner.optimizer.zero_grad()
    with torch.autocast(loss.device.type, enabled=False):  # the way back is rounded as the way there was
        loss.backward()
    torch.nn.utils.clip_grad_norm_(
        [p for group in learner.optimizer.param_groups for p in group["params"]], CLIP
    )
    learner.optimizer.step()
    learner.step += 1
    return {name: value.detach().double() for name, value in parts.items()}


@torch.no_grad()
def check(learner: Learner, stage: Stage, packer: Packer, n_scenes: int) -> dict[str, dict[str, float]]:
    """Measure on the first validation scenes.

    Returns
    -------
    dict
        "found": share of the patches with something on them that are named rightly, for each label.
        "validation", in a stage of answers: share of the questions answered rightly, for each kind.
    """
    model, heads, answers = learner.model, learner.heads, stage.name == "answers"
    device = next(model.parameters()).device
    found = torch.zeros(len(LABELS), device=device)
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    at = SPLITS["validation"].start
    blocks = [range(at + i, at + min(i + 32, n_scenes)) for i in range(0, n_scenes, 32)]
    for block in blocks:
        lesson = lesson_of(draw(block), packer).to(device)
        states = patch_states(model, scaled(lesson.pixels))
        found += heads.right(states, lesson.labels).nan_to_num() * len(block) / n_scenes
        if answers:
            batch = lesson.batch
            correct = answered_right(answer_logits(model, project(model, states), batch), batch).tolist()
            asked.update(batch.kinds)
            right.update(kind for kind, yes in zip(batch.kinds, correct, strict=True) if yes)
    shares = {"found": {label: round(float(v), 4) for label, v in zip(LABELS, found, strict=True)}}
    if answers:
        shares["validation"] = {kind: round(right[kind] / asked[kind], 4) for kind in sorted(asked)}
    return shares


def _log(folder: Path, stage: Stage, step: int, values: dict) -> None:
    line = {"stage": stage.name, "step": step, "images": step * stage.batch, **values}
    with (folder / LOG).open("a") as file:
        file.write(json.dumps(line) + "\n")
