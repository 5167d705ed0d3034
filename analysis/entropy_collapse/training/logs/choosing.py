"""Which key of a log is used: the first rule that fits, or the one that a person named."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.entropy_collapse.training.logs.keys import (
    COMPANIONS,
    ENTROPY,
    EVALUATION,
    RANK,
    REWARD,
    SECONDS_A_STEP,
    STEP,
    TOKENS_A_STEP,
    TOTAL_SECONDS,
    TOTAL_TOKENS,
    Rule,
    is_accuracy,
    is_held_out,
    is_step,
)
from analysis.errors import AnalysisError


class MissingColumnError(AnalysisError):
    """A log lacks a column; ``candidates`` are the keys it has."""

    def __init__(self, message: str, hint: str, candidates: Iterable[str]) -> None:
        self.candidates = tuple(candidates)
        super().__init__(message, f"{hint} {found(self.candidates)}".strip())


def first(rules: Iterable[Rule], keys: Iterable[str]) -> tuple[str, Rule] | None:
    """The first rule that a key fits, with that key."""
    known = list(keys)
    for rule in rules:
        if rule.beside and not any(k.startswith(rule.beside) for k in known):
            continue
        for key in sorted((k for k in known if rule.match(k)), key=lambda k: (k != rule.key, len(k))):
            return key, rule
    return None


def rule_of(key: str, keys: Iterable[str]) -> Rule:
    """What is known of an entropy key, given the others beside it."""
    known = list(keys)
    for rule in ENTROPY:
        if rule.match(key) and (not rule.beside or any(k.startswith(rule.beside) for k in known)):
            return rule
    return Rule(key)


def find_entropy(keys: Iterable[str]) -> tuple[str, Rule] | None:
    """The entropy key of a log by rule; else any training key that ends in ``/entropy``."""
    known = list(keys)
    found = first(ENTROPY, known)
    if found is not None:
        return found
    for key in known:
        if key.endswith("/entropy") and not is_held_out(key):
            note = f"{key} is no key of a library known here: nothing tells whether it is a mean over tokens."
            return key, Rule(key, note=note)
    return None


def find_reward(keys: Iterable[str]) -> str | None:
    """The reward key of a log by rule, else any ``/reward``, else a held-out accuracy."""
    known = list(keys)
    found = first(REWARD, known)
    if found is not None:
        return found[0]
    training = (key for key in known if key.endswith("/reward") and not is_held_out(key))
    return next(training, None) or next(filter(is_accuracy, known), None)


def find_evaluation(column: str, keys: Iterable[str]) -> str | None:
    """The held-out counterpart of a column."""
    known = list(keys)
    found = first(EVALUATION[column], known)
    if found is None and column == "reward":
        return next(filter(is_accuracy, known), None)
    return found[0] if found else None


def may_be_used(key: str) -> bool:
    """Whether any rule could ask for a key: only those are kept while a log is read."""
    rules = (*ENTROPY, *REWARD, *(r for group in (*COMPANIONS.values(), *EVALUATION.values()) for r in group))
    plain = (*STEP, *RANK, *TOTAL_TOKENS, *TOKENS_A_STEP, *TOTAL_SECONDS, *SECONDS_A_STEP)
    return (
        key.endswith(("/entropy", "/reward"))
        or is_step(key)
        or is_accuracy(key)
        or any(rule.match(key) for rule in rules)
        or any(Rule(k).match(key) for k in plain)
    )


def find_key(wanted: str, keys: Iterable[str], what: str) -> str:
    """The key a person named, exactly or by its ending.

    Raises
    ------
    MissingColumnError
        If no key fits; with those that are there.
    AnalysisError
        If more than one does.
    """
    known = list(keys)
    if wanted in known:
        return wanted
    endings = [key for key in known if key.endswith((f"/{wanted}", f" - {wanted}"))]
    if len(endings) == 1:
        return endings[0]
    if endings:
        raise AnalysisError(
            f"{wanted!r} fits several keys: {', '.join(endings[:5])}.", "Name one of them in full."
        )
    raise MissingColumnError(f"The log has no {what} column {wanted!r}.", "", known)


def found(keys: Iterable[str]) -> str:
    """The keys of a log in one sentence, those about entropy and reward first."""
    known = sorted(keys, key=lambda k: (not any(w in k.lower() for w in ("entrop", "rew", "score")), k))
    if not known:
        return "It holds no numbers."
    more = f" and {len(known) - 24} more" if len(known) > 24 else ""
    short = (key if len(key) <= 60 else f"{key[:57]}…" for key in known[:24])
    return f"It holds: {', '.join(short)}{more}."
