"""From a raw log to a curve: keys chosen, steps put in order, gaps left open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.entropy_collapse.training_logs import keys as rules
from analysis.entropy_collapse.training_logs.raw import RawLog, Series
from analysis.entropy_collapse.training_results import Meaning, TrainingCurve


@dataclass(frozen=True)
class Choice:
    """What a person chose by hand; None leaves it to the rules."""

    entropy: str | None = None
    reward: str | None = None
    step: str | None = None
    meaning: Meaning | None = None
    temperature: float | None = None


def curve(log: RawLog, choice: Choice) -> TrainingCurve:
    """One run as a curve.

    Raises
    ------
    MissingColumnError
        If the log has no entropy, a named key is not there, or its entropy holds no number.
    """
    entropy, rule = _entropy(log, choice)
    chosen = {"entropy": entropy}
    if choice.reward is not None:
        chosen["reward"] = rules.asked(choice.reward, log.keys, "reward")
    elif (reward := rules.find_reward(log.keys)) is not None:
        chosen["reward"] = reward
    for name, group in rules.COMPANIONS.items():
        match = rules.first(group, log.keys)
        if match is not None:
            chosen[name] = match[0]
    notes = [*log.notes, *([rule.note] if rule.note else [])]
    if "reward" not in chosen:
        notes.append("The log has no reward.")
    elif rules.is_held_out(chosen["reward"]) and not rules.is_held_out(entropy):
        notes.append(
            f"The log has no training reward: {chosen['reward']}, measured on held-out data, is drawn."
        )
    table = _Table.of(log, chosen)
    if table.back:
        notes.append(
            f"Steps begin again {_times(table.back)}: of what was logged twice the later rows are kept."
        )
    if table.lost:
        notes.append(f"{table.lost} values without a step are left out.")
    if not np.isfinite(table.columns["entropy"]).any():
        raise rules.MissingColumnError(
            f"{entropy} holds no number in {log.name}.", "Choose another column.", log.keys
        )
    step = {"step": log.step_key}
    tokens = _total(log, table, rules.TOTAL_TOKENS, rules.TOKENS_A_STEP)
    seconds = _total(log, table, rules.TOTAL_SECONDS, rules.SECONDS_A_STEP)
    clocks = {name: found[0] for name, found in (("tokens", tokens), ("seconds", seconds)) if found}
    return TrainingCurve(
        name=log.name,
        source=log.source,
        step=table.step,
        columns=table.columns,
        chosen=step | chosen | clocks,
        candidates=log.keys,
        meaning=choice.meaning or rule.meaning,
        scaling=rule.scaling,
        temperature=choice.temperature,
        tokens=tokens[1] if tokens else None,
        seconds=seconds[1] if seconds else None,
        evaluation=_evaluation(log, chosen, choice),
        notes=tuple(notes),
    )


def _entropy(log: RawLog, choice: Choice) -> tuple[str, rules.Rule]:
    if choice.entropy is not None:
        key = rules.asked(choice.entropy, log.keys, "entropy")
        match = rules.first(rules.ENTROPY, [key])
        return key, match[1] if match else rules.Rule(key)
    found = rules.find_entropy(log.keys)
    if found is None:
        raise rules.MissingColumnError(
            f"{log.name} has no column that is known to be an entropy.",
            "Name one if it is there.",
            log.keys,
        )
    return found


def _evaluation(log: RawLog, chosen: dict[str, str], choice: Choice) -> TrainingCurve | None:
    """Held-out rows of the same log, if it has any that are not drawn already."""
    keys = {}
    for column in ("entropy", "reward"):
        key = rules.find_evaluation(column, log.keys)
        if key is not None and key not in chosen.values():
            keys[column] = key
    if not keys:
        return None
    table = _Table.of(log, keys)
    rule = rules.first(rules.ENTROPY, [chosen["entropy"]])
    return TrainingCurve(
        name=f"{log.name}, evaluation",
        source=log.source,
        step=table.step,
        columns=table.columns,
        chosen={"step": log.step_key} | keys,
        meaning="per token" if "entropy" in keys else "not known",
        scaling=rule[1].scaling if rule and "entropy" in keys else "",
        temperature=choice.temperature,
    )


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


@dataclass
class _Table:
    """Several series over the union of their steps."""

    step: np.ndarray
    columns: dict[str, np.ndarray]
    back: int = 0
    """How often the steps went back."""
    lost: int = 0
    """Values without a step."""

    @classmethod
    def of(cls, log: RawLog, chosen: dict[str, str]) -> _Table:
        parts, back, lost = {}, 0, 0
        none = (np.empty(0), np.empty(0))
        for name, key in chosen.items():
            steps, values = log.series.get(key, none)
            known = np.isfinite(steps)
            lost = max(lost, int((~known).sum()))
            parts[name], went_back = settled(steps[known], values[known])
            back = max(back, went_back)
        empty = [e[np.isfinite(e)] for key in chosen.values() if (e := log.empty.get(key)) is not None]
        step = np.unique(np.concatenate([*(s for s, _ in parts.values()), *empty]))
        return cls(step, {n: placed(part, step) for n, part in parts.items()}, back, lost)


def settled(step: np.ndarray, value: np.ndarray) -> tuple[Series, int]:
    """Values in the order of steps, one per step, and how often the log began again.

    A log that goes back and repeats steps was resumed or restarted: what it had written
    at or after the step it went back to is left out, as TensorBoard does. A log that is
    only out of order is sorted. Of neighbours with the same step the last stays.
    """
    if len(step) < 2 or (np.diff(step) > 0).all():
        return (step, value), 0
    back = int((np.diff(step) < 0).sum())
    repeats = len(np.unique(step)) < len(step)
    if back and repeats:
        lowest_after = np.minimum.accumulate(step[::-1])[::-1]
        keep = np.append(step[:-1] < lowest_after[1:], True)
        return (step[keep], value[keep]), back
    order = np.argsort(step, kind="stable")
    step, value = step[order], value[order]
    last = np.append(np.diff(step) > 0, True)
    return (step[last], value[last]), 0


def placed(part: Series, step: np.ndarray) -> np.ndarray:
    """Values at the given steps, which contain the series' own; NaN elsewhere."""
    out = np.full(len(step), np.nan)
    out[np.searchsorted(step, part[0])] = part[1]
    return np.where(np.isfinite(out), out, np.nan)


def _total(
    log: RawLog, table: _Table, total: tuple[str, ...], a_step: tuple[str, ...]
) -> tuple[str, np.ndarray] | None:
    """Tokens or seconds so far at every step, and the key they come from."""
    for name in (*total, *a_step):
        match = rules.first([rules.Rule(name)], log.series)
        if match is None or not np.isfinite(values := _at(log, match[0], table.step)).any():
            continue
        if name in a_step:
            step = table.step
            before = min(step[0], step[1] - step[0]) if len(step) > 1 else 1.0
            return f"sum of {match[0]}", np.cumsum(values * np.diff(step, prepend=step[0] - before))
        time_of_day = name in ("_timestamp", "wall time")
        return match[0], values - np.nanmin(values) if time_of_day else values
    return None


def _at(log: RawLog, key: str, step: np.ndarray) -> np.ndarray:
    steps, values = log.series[key]
    known = np.isfinite(steps)
    (own, values), _ = settled(steps[known], values[known])
    shared = np.isin(own, step)
    return placed((own[shared], values[shared]), step)
