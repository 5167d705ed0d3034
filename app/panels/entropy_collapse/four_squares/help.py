"""What the figures of the four squares lab mean, for their "How to read this"."""

from analysis.entropy_collapse.labs.four_squares.comparison import CLEAR_RATIO, CLEAR_REWARD, NO_EFFECT

EFFECT = (
    f"Last evaluation, training numbers. A factor counts from {CLEAR_RATIO:g} on (or under 1/{CLEAR_RATIO:g}), a "
    f"difference in reward from {CLEAR_REWARD:g} on; anything less is “{NO_EFFECT}”, "
    "which leaves room for what plain runs with other seeds differ by. One seed proves little: try others. "
    "Entropy and reward are those of the policy at the temperature of its own run."
)

ENTROPY = r"""
**Definition.** $H = -\sum_v p_v \ln p_v$ over the whole vocabulary at every token the policy wrote at that step, before the step's updates, at the
temperature of the run; the mean gives every token the same weight. *Forks* are the tokens that choose a square, one in five; *followers* are all others.

**What to look for.** At the forks the entropy falls fast, and most of it in the first third. Followers start low: what is there is arithmetic not yet learnt.
An entropy that is kept among followers is noise that was kept.

**Source.** Cui et al. 2025, The Entropy Mechanism of Reinforcement Learning; Wang et al. 2025, Beyond the 80/20 Rule.
"""

REWARD = r"""
**Definition.** The reward is 1 if all four steps are true and nothing is left, else 0. Every ten steps all numbers are answered many times:
*pass@1* is the share of right answers, *pass@k* the chance that at least one of k is right, $1 - \binom{n-c}{k}/\binom{n}{k}$ without bias.
A quarter of the numbers is held out: neither the base policy nor the training has seen them as prompts.

**What to look for.** pass@1 rises to pass@k: the policy becomes sure of what it could do before. Where pass@k of held-out numbers falls, it has become sure of the wrong thing.

**Source.** Chen et al. 2021 (pass@k); Shao et al. 2024 (GRPO).
"""

DISTINCT = r"""
**Definition.** *Different right answers*: among the answers to one number, how many different right ones (the four squares in the order they were taken), mean over training numbers.
*True steps*: the share of steps whose square is a square and whose subtraction is right, whatever they lead to.

**What to look for.** The reward rises while the different right answers fall: the policy keeps some ways and forgets the others. They may rise first, while there are more right answers to be different.
"""

SPREAD = r"""
**Definition.** *Token entropy*: mean entropy of the next token. *Answer entropy*: $-\sum_j f_j \ln f_j$ over the different final answers among the n to one number, mean over numbers. From n answers it is at
most $\ln n$ and too low by about $(K-1)/2n$ for K different ones; the hover and the table give it corrected by that (Miller-Madow) too.
*Top 20 %*: the part of all entropy at the fifth of the tokens where it is highest.

**What to look for.** Whether both entropies fall together. They need not: a policy can stay unsure of its words and be sure of its answer.

**Source.** Wu et al. 2025, The Invisible Leash.
"""

LAW = r"""
**Definition.** $R = -a\,e^{H} + b$ with the entropy in nats per token, fitted by least squares to the steps of one run, unsmoothed. At $H = 0$ the reward is $b - a$.

**What to look for.** One curve for the whole run: the reward rises as the entropy falls. An intervention that leaves the curve gets more for the same entropy; one that stops halfway has only gone less far.
Below about .3 nats $e^H$ is nearly straight, and a straight line often does as well; the line under the figure says so.

**Source.** Cui et al. 2025, The Entropy Mechanism of Reinforcement Learning.
"""

CHANGE = r"""
**Definition.** *Actual*: mean entropy at the tokens of a step after its updates, minus before. *Covariance*: $-\eta\,\mathrm{Cov}(\ln p, A)$ over all tokens of the step.
*Exact softmax term*: $-\eta\,A\,\big(p_a(\ln p_a + H) - \sum_i p_i^2(\ln p_i + H)\big)$, what one gradient step on a table of logits would do to the entropy of a state, mean over tokens. $\eta$ is the learning rate.

**What to look for.** The covariance is above 0 nearly always, so the entropy only falls. Interventions act outside both terms: with one, the correlation drops.

**Source.** Cui et al. 2025, The Entropy Mechanism of Reinforcement Learning; the exact term is the derivative written out.
"""
