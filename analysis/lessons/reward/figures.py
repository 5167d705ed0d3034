"""The pictures of the lesson reward. Results in, charts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.drawing.numbers import significant
from analysis.lessons.lesson import Drawn
from analysis.lessons.pictures import HIGH, LOW, Cover, Line, curves
from analysis.lessons.reward.claims import (
    Trained,
)
from analysis.token_entropy.expected import percent

if TYPE_CHECKING:
    pass


def _curve(
    title: str,
    phrase: str,
    lines: list[Line],
    at: int,
    theme_name: str,
    height: int,
    cover: Cover | None = None,
    *,
    percent_of: bool = False,
    top: float | None = None,
) -> Drawn:
    chart = curves(
        lines, picture="entropy_collapse", theme_name=theme_name, x="training step", y=phrase, height=height, chosen=at, cover=cover, percent=percent_of, top=top,
    )  # fmt: skip
    return Drawn(title, phrase, chart, f"{title} over training steps")


def _cover(m: Trained, is_answered: bool, text: str = "?", first: float = 3.5) -> Cover | None:
    return None if is_answered else Cover(first, len(m.plain.entropy) - 0.5, text)


def draw_entropy(m: Trained, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "entropy"."""
    reward = float(m.plain.reward[at])
    return [
        _curve("Reward", f"share of right answers; at step {at}: {percent(reward)}", [Line(m.plain.reward)], at, theme_name, LOW, percent_of=True, top=1.0),
        _curve("Entropy of the policy", "nats per token", [Line(m.plain.entropy)], at, theme_name, HIGH, _cover(m, is_answered)),
    ]  # fmt: skip


def draw_forks(m: Trained, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "forks"."""
    top = float(m.plain.fork_entropy.max()) * 1.1
    return [
        _curve("Entropy of the policy", "nats per token, all tokens", [Line(m.plain.entropy)], at, theme_name, LOW),
        _curve(
            "At forks, and (dashed) everywhere else", f"nats; at step {at}: {significant(float(m.plain.fork_entropy[at]))} and {significant(float(m.plain.follower_entropy[at]))}" if is_answered else "nats",
            [Line(m.plain.fork_entropy), Line(m.plain.follower_entropy, "dashed")], at, theme_name, HIGH, _cover(m, is_answered, first=-0.5), top=top,
        ),
    ]  # fmt: skip


def draw_answers(m: Trained, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "answers"."""
    cover = None if is_answered else Cover(5, float(m.plain.evaluated[-1]) + 0.5)
    return [
        _curve("Right answers", "share, all training numbers", [Line(m.plain.pass_1, at=m.plain.evaluated)], at, theme_name, LOW, percent_of=True, top=1.0),
        _curve("Different right answers", f"of {m.plain.settings.answers} to one number", [Line(m.plain.distinct, at=m.plain.evaluated)], at, theme_name, HIGH, cover),
    ]  # fmt: skip


def draw_bonus(m: Trained, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "bonus"."""
    entropy = [Line(m.plain.entropy), Line(m.bonus.entropy, "dashed")]
    reward = [Line(m.plain.pass_1, at=m.plain.evaluated)]
    if is_answered:
        reward.append(Line(m.bonus.pass_1, "dashed", m.bonus.evaluated))
    return [
        _curve("Entropy; dashed with the bonus", "nats per token", entropy, at, theme_name, LOW),
        _curve("Right answers" + ("; dashed with the bonus" if is_answered else ", with the bonus: ?"), "share, all training numbers", reward, at, theme_name, HIGH, percent_of=True, top=1.0),
    ]  # fmt: skip
