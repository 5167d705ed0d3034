"""Explanations of the Bigram-Backcopy figures: definition, formula, what to look for, source."""

from __future__ import annotations

from typing import Any

import streamlit as st

RISKS = r"""
**Risk** is the mean loss of the model, $-\sum_c p^*(c) \ln q(c)$, with the true distribution $p^*$ of the next
character and the model's $q$, on sequences it never trains on. After ordinary characters it cannot fall below the mean
entropy of the character pairs (dotted); after triggers it can reach 0. Equal probabilities for the 62 characters give 4.13 nats.

**What to look for**: the pairs are learned first; the copy comes suddenly, when the head has found the place before it.

**What was seen** after 800 steps, medians of three seeds: 0.026 to 0.060 nats above the oracle after ordinary
characters and 0.002 to 0.039 after triggers, in all eight variants; Adam comes closer than SGD.

For the plays used in the source the risk of an oracle is about 2.231 nats after ordinary characters and 1.663 overall; this
story's pairs are easier. Guo et al. 2024, arXiv:2410.13835.
"""

FORMING = r"""
Three measures of token 0, the same as on the attention page: **sink** (mean attention on it, solid from ordinary
characters, dashed from triggers), **value drain** (norm of its value over the others' median) and **state peak** (norm
of its state over the others' median, after the block where that is largest). Sink and drain are of the layer with the
strongest sink.

**What was seen** after 800 steps, three seeds each:

| variant | sink, ordinary | sink, triggers | value / others' | state / others' |
|---|---|---|---|---|
| 1 layer, Adam, softmax | 0.87 to 0.89 | under 0.01 | 0.17 | 0.53 to 0.72 |
| 1 layer, SGD, softmax | 0.79 to 0.94 | under 0.01 | 0.16 to 0.21 | 0.86 to 0.95 |
| 3 layers, Adam, softmax | 0.64 to 0.92 | under 0.01 | 0.16 to 0.25 | 1.6 to 2.1 |
| 3 layers, SGD, softmax | 0.55 to 0.82 | under 0.01 | 0.22 to 0.32 | 1.5 to 1.6 |
| 1 layer, Adam, ReLU | 0.00 | under 0.01 | 0.55 to 1.4 | 0.39 to 7.9 |
| 1 layer, SGD, ReLU | 0.00 | 0.00 to 0.13 | 0.61 to 0.66 | 0.75 to 0.85 |
| 3 layers, Adam, ReLU | under 0.01 | 0.00 | 0.44 to 1.6 | 2.0 to 32 |
| 3 layers, SGD, ReLU | 0.01 to 0.08 | 0.00 to 0.04 | 1.1 | 1.2 to 2.4 |

- One layer is enough for a sink and a drained value. Its state is no peak: that took three layers, in all six softmax runs.
- With Adam the state of token 0 keeps growing (norm 50 to 58, and still rising after 1,500 steps); with SGD it settles at 17 to 18.
  As a ratio to the other tokens the two are close at 800 steps. That SGD removes the peak, as the source reports, is *not*
  seen at this scale.
- ReLU attention forms no sink: ordinary characters learn to give weight to no token at all (with three layers and SGD not
  fully yet). That it also removes the peak, as the source reports, is *not* seen here: with Adam the state of token 0
  grew to 8 to 32 times the others' in three of six runs.

Guo et al. 2024, arXiv:2410.13835; ReLU attention: Wortsman et al. 2023, arXiv:2309.08586.
"""

CHARACTERS = r"""
Mean attention on token 0 by the character that attends, in the layer with the strongest sink. After a trigger the head
must attend to the character before it; after any other character it has nothing to add, and attends to token 0, whose
value is nearly 0. The same head is *active* on some characters and *dormant* on the others. Rare characters, most of them
capitals, attended to it least in these runs. Characters that the held-out sequences do not contain are left out.
Guo et al. 2024, arXiv:2410.13835.
"""


def columns() -> dict[str, Any]:
    """Names and digits of the table of last looks."""

    def number(label: str, digits: str, explained: str) -> Any:
        return st.column_config.NumberColumn(label, format=digits, help=explained)

    return {
        "above_oracle": number(
            "above oracle", "%.3f", "Risk after ordinary characters minus the oracle's, nats."
        ),
        "backcopy_risk": number("after triggers", "%.3f", "Risk after triggers, nats; the oracle's is 0."),
        "sink_ordinary": number("sink", "%.3f", "Mean attention of ordinary characters on token 0."),
        "sink_trigger": number("from triggers", "%.3f", "Mean attention of triggers on token 0."),
        "value_drain": number(
            "value", "%.2f", "Norm of token 0's value over the others'; below 1 it is drained."
        ),
        "residual_peak": number("state", "%.2f", "Norm of token 0's state over the others', where largest."),
        "token_0_norm": number("norm", "%.1f", "Largest norm of token 0's state after any block."),
    }
