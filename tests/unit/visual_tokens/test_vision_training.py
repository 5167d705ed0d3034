"""The training of the shipped model: what is learned, that it is learned, and that it goes on where it stopped."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

import analysis as an
from analysis.visual_tokens.scenes.dice import Dice
from analysis.visual_tokens.scenes.mentions import mentions
from analysis.visual_tokens.scenes.questions import further_questions
from analysis.visual_tokens.shipped.build import build_model, build_processor
from analysis.visual_tokens.shipped.packed_pass import answer_logits, answered_right, patch_states, project
from analysis.visual_tokens.shipped.packing import Packer, draw, pixels_of
from analysis.visual_tokens.shipped.words import build_tokenizer
from analysis.visual_tokens.training.checkpoint import NAME, Learner
from analysis.visual_tokens.training.lesson import FURTHER, lesson_of, lessons
from analysis.visual_tokens.training.losses import PatchHeads, answer_losses
from analysis.visual_tokens.training.products import short_products
from analysis.visual_tokens.training.recipe import Stage, optimizer_for, set_rate
from analysis.visual_tokens.training.run import Pace, learn, train


@pytest.fixture(scope="module")
def packer():
    return Packer(build_tokenizer())


@torch.no_grad()
def test_packed_questions_get_the_librarys_own_logits(packer):
    """Each question of two pictures asked alone, with its answer, through the processor and the whole model."""
    model, processor = build_model().double(), build_processor()
    scenes = draw([3, 4])
    batch = packer.pack([s.questions for s in scenes])
    packed = answer_logits(model, project(model, patch_states(model, pixels_of(scenes).double())), batch)
    number = 0
    for s in scenes:
        for q in s.questions:
            inputs = processor(images=s.image, text=f"<image> {q.text} {q.answer}", return_tensors="pt")
            alone = model(inputs["input_ids"], inputs["pixel_values"].double()).logits[0]
            mine = packed[batch.question == number]
            assert torch.allclose(alone[-len(mine) :], mine, atol=1e-6)  # pixels are float32 in both
            number += 1
    assert number == len(batch.kinds)


def test_what_is_learned_where(packer):
    scenes = draw([8])
    batch = packer.pack([s.questions for s in scenes])
    tokenizer = build_tokenizer()
    for number, q in enumerate(scenes[0].questions):
        mine = batch.question == number
        assert tokenizer.decode(batch.targets[mine]).removesuffix("</s>").strip() == q.answer
        assert batch.is_end[mine].tolist() == [False] * (int(mine.sum()) - 1) + [True]
        first = batch.columns[mine][0]
        assert tokenizer.convert_ids_to_tokens(int(batch.ids[0, first])) == "?"


def test_losses_and_right_answers_by_hand(packer):
    batch = packer.pack([s.questions for s in draw([8])])
    n = len(build_tokenizer())
    logits = torch.full((len(batch.targets), n), 0.0)
    answer, end = answer_losses(logits, batch)
    assert float(answer) == pytest.approx(torch.tensor(float(n)).log().item())
    assert float(end) == pytest.approx(float(answer))
    logits[torch.arange(len(logits)), batch.targets] = 50.0
    assert answered_right(logits, batch).all()
    logits[batch.is_end & (batch.question == 2)] = 0.0
    logits[batch.is_end & (batch.question == 2), 7] = 1.0
    assert answered_right(logits, batch).tolist() == [i != 2 for i in range(len(batch.kinds))]


def test_empty_patches_weigh_little():
    """Two patches, one empty: the loss of each head is (.15 a + 1 b) / 1.15."""
    heads = PatchHeads()
    states = torch.randn(1, 2, 128, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[[0, 1]] * 5])
    expected = 0.0
    for head in heads.heads:
        nats = -head(states)[0].log_softmax(-1).detach()
        expected += float((0.15 * nats[0, 0] + nats[1, 1]) / 1.15)
    assert float(heads.loss(states, labels).detach()) == pytest.approx(expected, rel=1e-5)


def test_places_of_patches_and_of_what_is_named_by_hand():
    """With heads of zeros every row and column has a probability of 1/12; a head that knows them all loses nothing."""
    heads = PatchHeads()
    for head in (*heads.places, *heads.named):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    states = torch.zeros(2, 144, 128)
    assert float(heads.place_loss(states).detach()) == pytest.approx(2 * math.log(12), rel=1e-6)
    states[:, range(144), [i // 12 for i in range(144)]] = 1.0
    states[:, range(144), [12 + i % 12 for i in range(144)]] = 1.0
    with torch.no_grad():
        heads.places[0].weight[:, :12] = heads.named[0].weight[:, :12] = 50 * torch.eye(12)
        heads.places[1].weight[:, 12:24] = heads.named[1].weight[:, 12:24] = 50 * torch.eye(12)
    assert float(heads.place_loss(states).detach()) == pytest.approx(0.0, abs=1e-6)
    right, turned = torch.tensor([[1, 27, 2, 3]]), torch.tensor([[1, 27, 3, 2]])
    assert float(heads.named_loss(states, right).detach()) == pytest.approx(0.0, abs=1e-6)
    assert float(heads.named_loss(states, turned).detach()) == pytest.approx(100.0, rel=1e-6)
    assert float(heads.named_loss(states, right[:0]).detach()) == 0.0


def test_what_is_named_where(packer):
    """The last token of each name, and the patch of its item's middle."""
    scenes = draw([8, 9])
    lesson = lesson_of(scenes, packer, ("relation", "relation"))
    words = build_tokenizer().convert_ids_to_tokens
    wanted = [
        (row, name.split()[-1], item.middle[1] // 16, item.middle[0] // 16)
        for row, s in enumerate(scenes)
        for q in (
            *s.questions,
            *further_questions(Dice(FURTHER + s.seed), s.items, ("relation",) * 2, s.questions),
        )
        for name, item in (
            (q.text.removesuffix("?").split()[i], item) for i, item in mentions(q.text, s.items)
        )
    ]
    found = [(r, words(int(lesson.batch.ids[r, c]))[1:], y, x) for r, c, y, x in lesson.named.tolist()]
    assert found == wanted and len(found) > 8


@pytest.mark.slow
def test_other_processes_draw_the_same_lessons(packer):
    stage = Stage("answers", 6, batch=2, further=("relation",))
    here = list(lessons(stage, packer, 2_000_000, 1, device=torch.device("cpu")))
    there = list(lessons(stage, packer, 2_000_000, 1, device=torch.device("cpu"), workers=2))
    assert len(here) == len(there) == 2
    for one, other in zip(here, there, strict=True):
        for name in ("pixels", "labels", "named"):
            assert torch.equal(getattr(one, name), getattr(other, name))
        assert torch.equal(one.batch.ids, other.batch.ids) and one.batch.kinds == other.batch.kinds
    assert torch.equal(here[0].pixels, lesson_of(draw([2_000_002, 2_000_003]), packer).pixels)


def test_rates_rise_and_fall():
    stage = Stage("answers", 32 * 1000, tower=0.3)
    shares = [stage.share(i) for i in range(stage.steps)]
    assert shares[0] == pytest.approx(1 / 60) and max(shares) == pytest.approx(1.0)
    assert all(a < b for a, b in pairwise(shares[:60])) and all(a >= b for a, b in pairwise(shares[60:]))
    assert shares[530] == pytest.approx(0.51, abs=0.01) and shares[-1] == pytest.approx(0.02, abs=1e-3)
    model, heads = build_model(), PatchHeads()
    optimizer = optimizer_for(model, heads, stage)
    set_rate(optimizer, stage, 59)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert len(rates) == len([*model.parameters(), *heads.parameters()])
    assert rates[id(model.lm_head.weight)] == pytest.approx(1.2e-3)
    tower = model.model.vision_tower
    assert rates[id(next(tower.parameters()))] == pytest.approx(0.36e-3)
    assert decay[id(model.lm_head.weight)] == 0.05 and decay[id(model.model.language_model.norm.weight)] == 0
    first = optimizer_for(model, heads, Stage("patches", 320))
    touched = {id(p) for g in first.param_groups for p in g["params"]}
    assert touched == {id(p) for p in (*tower.parameters(), *heads.parameters())}


TWO = (
    Stage("patches", 8, batch=2, warm_up=2, place=0.3),
    Stage("answers", 8, batch=2, warm_up=2, tower=0.3, named=0.5, further=("relation", "count")),
)
QUICK = Pace(save=0.0, log=2, check=4, n_checked=2)


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    """Stopped in the middle of either stage, it ends with the weights of one that was not stopped, bit by bit."""
    whole = train(tmp_path / "whole", stages=TWO, pace=QUICK).state_dict()
    import analysis.visual_tokens.training.run as run

    for stop in (3, 6):
        left = [stop]

        def stopping(*arguments, left=left, learn=learn):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return learn(*arguments)

        monkeypatch.setattr(run, "learn", stopping)
        folder = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            train(folder, stages=TWO, pace=QUICK)
        monkeypatch.setattr(run, "learn", learn)
        again = train(folder, pace=QUICK).state_dict()
        assert all(torch.equal(value, again[name]) for name, value in whole.items())
        assert [p.name for p in folder.iterdir() if p.suffix == ".part"] == []
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == {"patches", "answers"}
    assert any(line.get("validation") for line in lines)


def test_a_broken_checkpoint_is_named(tmp_path):
    (tmp_path / NAME).write_bytes(b"no weights")
    with pytest.raises(an.AnalysisError, match="cannot be read"):
        train(tmp_path)


@pytest.mark.slow
def test_sixteen_pictures_can_be_learned_by_heart(packer):
    """The whole road learns: the losses of patches and of answers, one question a picture, fall to less than half."""
    model, heads = build_model(), PatchHeads()
    scenes = [replace(s, questions=s.questions[:1]) for s in draw(range(16))]
    stage = Stage("answers", 16 * 24, batch=16, warm_up=5)
    learner = Learner(model, heads, optimizer_for(model, heads, stage), 0, 0)
    lesson = lesson_of(scenes, packer)
    losses = [learn(learner, stage, lesson) for _ in range(stage.steps)]
    assert losses[-1]["answer"] < 0.3 * losses[0]["answer"]
    assert losses[-1]["patches"] < 0.4 * losses[0]["patches"]


def test_short_products_are_the_products():
    """Within the rounding of bfloat16 (8 bits), forward and backward; and gone afterwards."""
    linear = torch.nn.Linear(64, 48)
    x = torch.randn(5, 7, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def gradients():
        out = linear(x)
        return out, *torch.autograd.grad(out.square().sum(), (x, linear.weight, linear.bias))

    exact = gradients()
    with short_products(linear):
        rounded = gradients()
    for a, b in zip(exact, rounded, strict=True):
        assert a.shape == b.shape and 0 < (a - b).abs().max() < 0.02 * a.abs().max()
    assert all(torch.equal(a, b) for a, b in zip(exact, gradients(), strict=True))
