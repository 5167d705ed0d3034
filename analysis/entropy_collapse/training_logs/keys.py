"""Which key of a log is the entropy, the reward, the step: an order of rules, and a word on each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analysis.entropy_collapse.training_results import Meaning
from analysis.errors import AnalysisError

_T_SCALED = "logits / T"
_UNSCALED = "logits not / T"

DOWNLOADED = "TensorBoard download/Value"
"""The one column of a downloaded metric whose file name does not say what it is."""


class MissingColumnError(AnalysisError):
    """A log lacks a column; ``candidates`` are the keys it has."""

    def __init__(self, message: str, hint: str, candidates: Iterable[str]) -> None:
        self.candidates = tuple(candidates)
        super().__init__(message, f"{hint} {found(self.candidates)}".strip())


@dataclass(frozen=True)
class Rule:
    """One key that libraries write, and what it means."""

    key: str
    meaning: Meaning = "not known"
    scaling: str = ""
    """Whether logits were divided by the sampling temperature T."""
    note: str = ""
    beside: str = ""
    """A beginning that another key of the log must have: it tells libraries apart that share a key."""
    by_loss_agg_mode: bool = False
    """Whether verl's ``loss_agg_mode`` decides how it is put together from tokens."""

    def match(self, key: str) -> bool:
        """Whether a log's key is this one, possibly behind the prefix of a logger."""
        if key in (self.key, f"train/{self.key}"):
            return True
        if is_held_out(key):
            return False
        return "/" in self.key and key.endswith(f"/{self.key}")


ENTROPY = (
    Rule("actor/entropy", "per token", _T_SCALED, by_loss_agg_mode=True),
    Rule("entropy", "per token", "logits / T in TRL's RL trainers"),
    Rule("entropy/mean", "per token", _T_SCALED),
    Rule("policy/entropy_avg", "per token", _T_SCALED),
    Rule("policy/policy_entropy", "per token", _T_SCALED),
    Rule(
        "actor/entropy_loss",
        "estimator",
        _T_SCALED,
        "actor/entropy_loss is the mean entropy in older verl; EasyR1 and ARES write the mean of -log p under "
        "this key, an estimate of it.",
    ),
    Rule(
        "entropy_loss",
        "per token",
        _T_SCALED,
        "slime's train/entropy_loss is the mean over answers of each answer's mean over tokens, unless the "
        "run asked for one mean over all tokens.",
        beside="rollout/",
    ),
    Rule(
        "entropy_loss",
        "per token",
        _UNSCALED,
        "OpenRLHF takes train/entropy_loss without the sampling temperature: lower or higher than verl's and "
        "TRL's for the same policy unless the temperature is 1.",
    ),
    Rule(
        "approx_entropy",
        "estimator",
        "",
        "approx_entropy is NeMo-RL's estimate: the mean of -log p of the sampled tokens, weighted by how far "
        "the policy has moved since they were sampled.",
    ),
    Rule(
        "objective/entropy",
        "per sequence",
        _T_SCALED,
        "objective/entropy is summed over each answer: it falls when answers get shorter, and belongs on an "
        "axis of its own.",
    ),
    Rule("opd/entropy", "per token"),
    Rule("val_entropy", "per token", "", "This entropy was measured on held-out text."),
    Rule(
        DOWNLOADED,
        note="A TensorBoard download does not name its metric, and neither does this file's name: its one column "
        "is taken as the entropy.",
    ),
)
"""Keys of the policy's entropy, best first."""

REWARD = tuple(
    Rule(key)
    for key in (
        "critic/score/mean",
        "reward",
        "critic/rewards/mean",
        "objective/rlhf_reward",
        "rollout/raw_reward",
        "reward/avg_raw_reward",
        "reward/overall",
    )
)
"""Keys of the reward, best first; a held-out accuracy comes after them."""
STEP = (
    "train/global_step",
    "training/global_step",
    "global_step",
    "global_step/max_steps",
    "current_steps",
    "step",
    "Step",
    "trainer/global_step",
    "train/step",
    "_step",
    "update_counter",
    "iteration",
    "episode",
)
"""Keys that count steps, best first; any other key that ends in ``/step`` comes after them."""
RANK = (
    "rank",
    "global_rank",
    "process_index",
    "process_rank",
    "dp_rank",
    "worker_rank",
    "rank_id",
    "worker_id",
    "worker",
    "local_rank",
)
"""Keys that tell which process of a run wrote a row."""
COMPANIONS: dict[str, tuple[Rule, ...]] = {
    "length": tuple(
        Rule(k)
        for k in (
            "response_length/mean",
            "completions/mean_length",
            "response_length",
            "rollout/response_len/mean",
        )
    ),
    "kl": tuple(Rule(k) for k in ("actor/ppo_kl", "kl", "objective/kl")),
    "gradient norm": tuple(Rule(k) for k in ("actor/grad_norm", "grad_norm")),
    "clipped share": tuple(Rule(k) for k in ("actor/pg_clipfrac", "clip_ratio/region_mean")),
}
"""Columns that explain an entropy curve, taken along where the log has them."""

EVALUATION: dict[str, tuple[Rule, ...]] = {
    "entropy": tuple(Rule(k, "per token") for k in ("eval_entropy", "eval/entropy", "val_entropy")),
    "reward": tuple(Rule(k) for k in ("eval_reward", "eval/reward")),
}

TOTAL_TOKENS = ("num_tokens", "num_input_tokens_seen", "total_tokens")
TOKENS_A_STEP = ("perf/total_num_tokens",)
TOTAL_SECONDS = ("_runtime", "elapsed_seconds", "_timestamp", "wall time")
SECONDS_A_STEP = ("timing_s/step", "perf/time_per_step", "step_time")

_HELD_OUT = ("eval_", "eval/", "val_", "val/", "val-core/", "val-aux/", "test_", "test/", "validation/")
_OF_THE_CLOCK = ("timing", "time/", "perf/time")


def is_held_out(key: str) -> bool:
    """Whether a key was measured on held-out data."""
    return key.startswith(_HELD_OUT)


def is_step(key: str) -> bool:
    """Whether a key counts steps; verl's ``timing_s/step`` holds the seconds of one."""
    return key in STEP or (key.endswith(("/step", "/global_step")) and not key.startswith(_OF_THE_CLOCK))


def _is_accuracy(key: str) -> bool:
    """A held-out accuracy; verl's is ``val-core/<data set>/acc/mean@k``."""
    return key in ("eval_accuracy", "eval/accuracy") or (key.startswith("val-core/") and "/acc/mean@" in key)


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
    return next(training, None) or next(filter(_is_accuracy, known), None)


def find_evaluation(column: str, keys: Iterable[str]) -> str | None:
    """The held-out counterpart of a column."""
    known = list(keys)
    found = first(EVALUATION[column], known)
    if found is None and column == "reward":
        return next(filter(_is_accuracy, known), None)
    return found[0] if found else None


def may_be_used(key: str) -> bool:
    """Whether any rule could ask for a key: only those are kept while a log is read."""
    rules = (*ENTROPY, *REWARD, *(r for group in (*COMPANIONS.values(), *EVALUATION.values()) for r in group))
    plain = (*STEP, *RANK, *TOTAL_TOKENS, *TOKENS_A_STEP, *TOTAL_SECONDS, *SECONDS_A_STEP)
    return (
        key.endswith(("/entropy", "/reward"))
        or is_step(key)
        or _is_accuracy(key)
        or any(rule.match(key) for rule in rules)
        or any(Rule(k).match(key) for k in plain)
    )


def asked(wanted: str, keys: Iterable[str], what: str) -> str:
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
