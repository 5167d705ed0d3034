"""Which key of a log is the entropy, the reward, the step: an order of rules, and a word on each."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.entropy_collapse.training.results import Meaning

_T_SCALED = "logits / T"
_UNSCALED = "logits not / T"

DOWNLOADED = "TensorBoard download/Value"
"""The one column of a downloaded metric whose file name does not say what it is."""


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


def is_accuracy(key: str) -> bool:
    """A held-out accuracy; verl's is ``val-core/<data set>/acc/mean@k``."""
    return key in ("eval_accuracy", "eval/accuracy") or (key.startswith("val-core/") and "/acc/mean@" in key)
