"""From a raw log to a curve: keys chosen, steps put in order, gaps left open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.entropy_collapse.training.logs import choosing
from analysis.entropy_collapse.training.logs import keys as rules
from analysis.entropy_collapse.training.logs.aggregation import meaning_of
from analysis.entropy_collapse.training.logs.pairing import Place, count_alike, in_time
from analysis.entropy_collapse.training.logs.raw import RawLog, Series
from analysis.entropy_collapse.training.logs.settling import in_order
from analysis.entropy_collapse.training.results import Meaning, TrainingCurve


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
    keys = {"entropy": entropy}
    if choice.reward is not None:
        keys["reward"] = choosing.find_key(choice.reward, log.keys, "reward")
    elif (reward := choosing.find_reward(log.keys)) is not None:
        keys["reward"] = reward
    for name, group in rules.COMPANIONS.items():
        match = choosing.first(group, log.keys)
        if match is not None:
            keys[name] = match[0]
    chosen, notes = _on_one_counter(log, keys)
    keys = {name: key for name, key in keys.items() if name in chosen}
    table = _Table.of(log, chosen, keys)
    if not np.isfinite(table.columns["entropy"]).any():
        raise choosing.MissingColumnError(
            f"{entropy} holds no number in {log.name}.", "Choose another column.", log.keys
        )
    if choice.meaning:
        meaning, assumed, said = choice.meaning, "", [rule.note] if rule.note else []
    else:
        meaning, assumed, said = meaning_of(table.columns["entropy"], entropy, rule, log.loss_agg_mode)
    notes = [*log.notes, *said, *_about_reward(keys), *notes, *table.notes]
    clock = chosen["entropy"]
    tokens = _total(log, clock, table.step, rules.TOTAL_TOKENS, rules.TOKENS_A_STEP)
    seconds = _total(log, clock, table.step, rules.TOTAL_SECONDS, rules.SECONDS_A_STEP)
    clocks = {name: found[0] for name, found in (("tokens", tokens), ("seconds", seconds)) if found}
    return TrainingCurve(
        name=log.name,
        source=log.source,
        step=table.step,
        columns=table.columns,
        chosen={"step": clock.counter} | keys | clocks,
        candidates=log.keys,
        meaning=meaning,
        assumed=assumed,
        scaling=rule.scaling,
        temperature=choice.temperature,
        tokens=tokens[1] if tokens else None,
        seconds=seconds[1] if seconds else None,
        evaluation=_evaluation(log, keys, clock, choice),
        notes=tuple(notes),
    )


def _entropy(log: RawLog, choice: Choice) -> tuple[str, rules.Rule]:
    if choice.entropy is not None:
        key = choosing.find_key(choice.entropy, log.keys, "entropy")
        return key, choosing.rule_of(key, log.keys)
    found = choosing.find_entropy(log.keys)
    if found is None:
        raise choosing.MissingColumnError(
            f"{log.name} has no column that is known to be an entropy.",
            "Name one if it is there.",
            log.keys,
        )
    return found


def _about_reward(keys: Mapping[str, str]) -> list[str]:
    if "reward" not in keys:
        return ["The log has no reward."]
    if rules.is_held_out(keys["reward"]) and not rules.is_held_out(keys["entropy"]):
        return [f"The log has no training reward: {keys['reward']}, measured on held-out data, is drawn."]
    return []


def _on_one_counter(log: RawLog, keys: Mapping[str, str]) -> tuple[dict[str, Series], list[str]]:
    """The chosen series, all at the steps of the entropy's counter, and what was done to the others."""
    none = Series(np.empty(0), np.empty(0), None, "")
    clock = log.series.get(keys["entropy"], none)
    out: dict[str, Series] = {}
    moved: dict[str, list[str]] = {}
    lost: dict[str, list[str]] = {}
    for name, key in keys.items():
        own = log.series.get(key, none)
        place: Place = "before" if rules.is_held_out(key) else "first"
        if len(own) and len(clock) and not count_alike(clock, own):
            paired = in_time(own, clock, place)
            (moved if paired else lost).setdefault(own.counter, []).append(name)
            if paired is None:
                continue
            own = paired
        out[name] = own
    notes = []
    for counter, names in moved.items():
        notes.append(
            f"{', '.join(names).capitalize()} and entropy have counters of their own ({counter}, "
            f"{clock.counter}), which are not compared by number: paired by order in time, each at the "
            "first entropy that was logged with it."
        )
    for counter, names in lost.items():
        notes.append(
            f"{', '.join(names).capitalize()} cannot be paired with entropy: they have counters of their own "
            f"({counter}, {clock.counter}), and nothing tells which belong together. Left out."
        )
    return out, notes


def _evaluation(
    log: RawLog, chosen: Mapping[str, str], clock: Series, choice: Choice
) -> TrainingCurve | None:
    """Held-out rows of the same log, if it has any that are not drawn already."""
    keys, series = {}, {}
    for column in ("entropy", "reward"):
        key = choosing.find_evaluation(column, log.keys)
        if key is None or key in chosen.values() or key not in log.series:
            continue
        own: Series | None = log.series[key]
        if own is not None and not count_alike(clock, own):
            own = in_time(own, clock, "before")
        if own is not None:
            keys[column], series[column] = key, own
    if not keys:
        return None
    table = _Table.of(log, series, keys)
    rule = choosing.rule_of(chosen["entropy"], log.keys)
    meaning: Meaning = "not known"
    if "entropy" in keys:
        meaning = meaning_of(table.columns["entropy"], keys["entropy"], rules.Rule("", "per token"))[0]
    return TrainingCurve(
        name=f"{log.name}, evaluation",
        source=log.source,
        step=table.step,
        columns=table.columns,
        chosen={"step": clock.counter} | keys,
        meaning=meaning,
        scaling=rule.scaling if "entropy" in keys else "",
        temperature=choice.temperature,
    )


@dataclass
class _Table:
    """Several series over the union of their steps."""

    step: np.ndarray
    columns: dict[str, np.ndarray]
    notes: list[str]

    @classmethod
    def of(cls, log: RawLog, series: Mapping[str, Series], keys: Mapping[str, str]) -> _Table:
        parts, back, lost, twice = {}, 0, 0, 0
        for name, own in series.items():
            known = own.known
            lost = max(lost, len(own) - len(known))
            parts[name], went_back = settled(known.step, known.value)
            back = max(back, went_back)
            if not went_back:
                twice = max(twice, len(known) - len(parts[name][0]))
        empty = [e[np.isfinite(e)] for name in series if (e := log.empty.get(keys[name])) is not None]
        step = np.unique(np.concatenate([*(s for s, _ in parts.values()), *empty]))
        notes = []
        if back:
            times = "once" if back == 1 else f"{back} times"
            notes.append(f"Steps begin again {times}: of what was logged twice the later rows are kept.")
        if twice:
            notes.append(f"{twice} values were logged again at the same step: the later ones are kept.")
        if lost:
            notes.append(f"{lost} values without a step are left out.")
        return cls(step, {name: placed(own, value, step) for name, (own, value) in parts.items()}, notes)


def settled(step: np.ndarray, value: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], int]:
    """Steps and values in order, one per step, and how often the log began again (:func:`in_order`)."""
    rows, back = in_order(step)
    return (step[rows], value[rows]), back


def placed(own: np.ndarray, value: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Values at the given steps, which contain the series' own; NaN elsewhere."""
    out = np.full(len(step), np.nan)
    out[np.searchsorted(step, own)] = value
    return np.where(np.isfinite(out), out, np.nan)


def _total(
    log: RawLog, clock: Series, step: np.ndarray, total: tuple[str, ...], a_step: tuple[str, ...]
) -> tuple[str, np.ndarray] | None:
    """Tokens or seconds so far at every step, and the key they come from."""
    for name in (*total, *a_step):
        match = choosing.first([rules.Rule(name)], log.series)
        if match is None or not count_alike(clock, log.series[match[0]]):
            continue
        values = _at(log.series[match[0]], step)
        if not np.isfinite(values).any():
            continue
        if name in a_step:
            before = min(step[0], step[1] - step[0]) if len(step) > 1 else 1.0
            return f"sum of {match[0]}", np.cumsum(values * np.diff(step, prepend=step[0] - before))
        time_of_day = name in ("_timestamp", "wall time")
        return match[0], values - np.nanmin(values) if time_of_day else values
    return None


def _at(own: Series, step: np.ndarray) -> np.ndarray:
    known = own.known
    (steps, values), _ = settled(known.step, known.value)
    shared = np.isin(steps, step)
    return placed(steps[shared], values[shared], step)
