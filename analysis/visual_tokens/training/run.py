"""The training itself: stage after stage, a log of JSON lines, checkpoints from which it goes on."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration

from analysis.visual_tokens.scenes.drawing import LABELS
from analysis.visual_tokens.scenes.scene import SPLITS, Scene
from analysis.visual_tokens.shipped.build import build_model
from analysis.visual_tokens.shipped.packed_pass import answer_logits, answered_right, patch_states, project
from analysis.visual_tokens.shipped.packing import Packer, draw, labels_of, pixels_of
from analysis.visual_tokens.shipped.words import build_tokenizer
from analysis.visual_tokens.training.checkpoint import Learner, load_checkpoint, read_place, save_checkpoint
from analysis.visual_tokens.training.losses import PatchHeads, answer_losses
from analysis.visual_tokens.training.products import short_products
from analysis.visual_tokens.training.recipe import (
    CLIP,
    DENSE,
    END,
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
    folder: Path, *, stages: Sequence[Stage] = STAGES, seed: int = 0, pace: Pace = Pace(), short: bool = True
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

    Returns
    -------
    LlavaForConditionalGeneration

    Raises
    ------
    BrokenFileError
        If the checkpoint cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = read_place(folder)
    first, done, settings = place or (0, 0, {"stages": [asdict(s) for s in stages], "seed": seed})
    stages = [Stage(**s) for s in settings["stages"]]
    model, heads = build_model(settings["seed"]), PatchHeads(settings["seed"])
    packer = Packer(build_tokenizer())
    for number in range(first, len(stages)):
        stage = stages[number]
        learner = Learner(model, heads, optimizer_for(model, heads, stage), number, 0)
        if number == first and place:
            load_checkpoint(learner, folder)
            learner.step = done
        start = SPLITS["train"].start + sum(s.steps * s.batch for s in stages[:number])
        with short_products(model) if short else nullcontext():
            for _ in _steps(learner, stage, packer, start, folder, pace):
                save_checkpoint(learner, folder, settings)
    return model.eval()


def _steps(
    learner: Learner, stage: Stage, packer: Packer, start: int, folder: Path, pace: Pace
) -> Iterator[None]:
    """Go through the rest of a stage and its log; stops wherever a checkpoint is due."""
    sums: Counter[str] = Counter()
    n_summed = 0
    saved, spent = time.monotonic(), time.process_time()
    while learner.step < stage.steps:
        at = start + learner.step * stage.batch
        sums.update(learn(learner, stage, packer, draw(range(at, at + stage.batch))))
        n_summed += 1
        last = learner.step == stage.steps
        if learner.step % pace.log == 0 or last:
            now = time.process_time()
            means = {name: round(value / n_summed, 5) for name, value in sums.items()}
            _log(folder, stage, learner.step, means | {"cpu_seconds": round(now - spent, 1)})
            sums.clear()
            n_summed, spent = 0, now
        if learner.step % pace.check == 0 or last:
            _log(folder, stage, learner.step, check(learner, stage, packer, pace.n_checked))
        if time.monotonic() - saved > pace.save or last:
            yield
            saved = time.monotonic()


def learn(learner: Learner, stage: Stage, packer: Packer, scenes: Sequence[Scene]) -> dict[str, float]:
    """Take one step on these scenes.

    Returns
    -------
    dict
        "patches": loss of the patches (nats, summed over labels). In a stage of answers also "answer" and "end",
        mean losses of their tokens (nats), and "right", share of the questions answered rightly.
    """
    set_rate(learner.optimizer, stage, learner.step)
    states = patch_states(learner.model, pixels_of(scenes))
    loss = dense = learner.heads.loss(states, labels_of(scenes))
    parts = {"patches": dense}
    if stage.name == "answers":
        batch = packer.pack([s.questions for s in scenes])
        logits = answer_logits(learner.model, project(learner.model, states), batch)
        answer, end = answer_losses(logits, batch)
        loss = answer + END * end + DENSE * dense
        parts |= {"answer": answer, "end": end, "right": answered_right(logits, batch).float().mean()}
    learner.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(
        [p for group in learner.optimizer.param_groups for p in group["params"]], CLIP
    )
    learner.optimizer.step()
    learner.step += 1
    return {name: float(value.detach()) for name, value in parts.items()}


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
    found = torch.zeros(len(LABELS))
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    at = SPLITS["validation"].start
    blocks = [range(at + i, at + min(i + 32, n_scenes)) for i in range(0, n_scenes, 32)]
    for block in blocks:
        scenes = draw(block)
        states = patch_states(model, pixels_of(scenes))
        found += heads.right(states, labels_of(scenes)).nan_to_num() * len(block) / n_scenes
        if answers:
            batch = packer.pack([s.questions for s in scenes])
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
