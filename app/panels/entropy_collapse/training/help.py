"""What the figures of entropy collapse over training mean, for their "How to read this"."""

SMOOTHING = "Weight of the past in the thick line; 0 draws what was logged alone. Gaps stay gaps."

UNDER = (
    "Compared with every logged row, nothing smoothed. No paper gives a threshold: values depend on model, task and "
    "temperature, so choose one of your own."
)

CURVES = r"""
**Definition.** At every token a policy writes it has a distribution over the next one. Its entropy $-\sum_v p_v \ln p_v$, averaged over the
tokens of all answers of a step, is the *policy entropy*. Libraries log it in nats.

**Not the same thing under one name.** Most libraries divide logits by the sampling temperature first, OpenRLHF does not. Some old keys hold an
estimate, the mean of $-\ln p$ of the sampled tokens. PPO logs of TRL hold the *sum* over each answer, which falls when answers get shorter: it never
shares an axis with a mean over tokens. verl takes a mean or a sum as its `loss_agg_mode` says, which most logs do not hold: the table then says
*aggregation unknown*. A value over $\ln V$, about 12.5 for the largest vocabularies, is no mean over tokens, whatever its key says. The table above
says which one each log holds.

**What to look for.** A steep fall in the first steps with most of the reward gained there; a floor near 0, after which little can be learnt.
Values depend on model, task and temperature: no level is an alarm by itself.

**Two counters.** Some trainers count updates for the entropy and rollouts for the reward. Such steps are not compared by number: each reward stands at the first
entropy that was logged with it, in order of time, or the reward is left out where the log has no such order.

**Source.** Keys by library: TRL, verl, OpenRLHF, slime, SkyRL, NeMo-RL, EasyR1, ms-swift, LLaMA-Factory as of 2026. The fall and what follows from it: Cui et al. 2025, "The Entropy Mechanism of Reinforcement
Learning for Reasoning Language Models".
"""

LAW = r"""
**Definition.** $R = -a\,e^{H} + b$: reward $R$ against policy entropy $H$ in nats per token, fitted by least squares on $e^{H}$. At no entropy at all the reward
would be the *ceiling* $b - a$. Intervals are 95 %, from residuals resampled in blocks of neighbouring steps.

**Beside it.** The straight line $R = c + s H$. If data made from the line would favour the law as much as these do in under 5 % of repetitions, the line is ruled out,
and the other way round; the fits must also differ by more than half the scatter of the points. Below about 0.3 nats they hardly can.

**What to look for.** A law of the first part of a run that meets the rest: the end of the run could be predicted from its beginning. Dashed: beyond the entropies
it was fitted on. $a$ and $b$ belong to one model, task, and library; never compare them across libraries.

**Where it differs from its source.** In the paper $R$ is *downstream performance*, accuracy on held-out problems. Here $R$ is the reward that the log holds, by default that
of training: shaped, clipped or other than accuracy, it may follow another law or none. Choose a held-out accuracy as the reward column for the paper's quantity.

**Source.** Cui et al. 2025, as above.
"""

SPENT = r"""
**Definition.** Mean entropy of the first 10 rows minus its running mean, against the running mean of reward minus that of the first 10 rows. A dot after every
tenth of the rows.

**What to look for.** A path that bends to the right: entropy still falls, and the reward gains less.
"""


def onset_rule() -> str:
    """The rule for the onset of collapse."""
    from analysis.entropy_collapse.training.onset import RULE

    return f"{RULE} A rule of this project: no paper states one."
