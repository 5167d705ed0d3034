"""Explanations of the attention figures: definition, formula, what to look for, source."""

from analysis.attention_sinks.measures import COLLAPSED, OVERLOADED, SINK_EPSILON

_CLASSES = (
    f"Under {100 * COLLAPSED:g} % of uniform a head is called collapsed, over {100 * OVERLOADED:g} % overloaded: words of Jha "
    "and Reagen 2025, limits of ours."
)

HEAD_LABELS = {
    "sink_mass": "token 0",
    "times_uniform": "× uniform",
    "strongest": "strongest sink",
    "entropy": "entropy",
    "distance": "distance",
    "learned_sink": "learned sink",
    "gate": "passed on",
}

HEAD_CAPTIONS = {
    "sink_mass": "Stronger colour: the head puts more of its attention on the first token. Click a cell.",
    "times_uniform": "Against what uniform attention would give: 1 is no preference, whatever the length of the text.",
    "strongest": "The most any one token gets from the head, wherever it stands. Click a cell to see which.",
    "entropy": f"Stronger colour: the head spreads its attention; faint: it attends to one token. {_CLASSES}",
    "distance": "Stronger colour: the head attends to tokens further back.",
    "gate": "Share of a head's output that the layer's own gate lets pass; near 0 the head adds nothing, whatever it attends to.",
    "learned_sink": "Weight on the learned sink logit, which is no token: rows sum to 1 minus it.",
}

SINKS = (
    r"""
For one head, $p_{ij}$ is how much query token $i$ attends to key token $j \le i$; each row sums to 1.

- **Attention on token 0**: mean of $p_{i0}$ over $i \ge 1$.
- **× uniform**: divided by the mean of $1/(i+1)$, what uniform causal attention would give.
- **Strongest sink**: largest column mean $\frac{1}{T-j}\sum_{i \ge j} p_{ij}$. Keys that fewer than 8 queries can see
  are left out: a mean over so few is noisy.
- **Sink rate**: share of heads whose column mean exceeds $\epsilon$ ("""
    + f"{SINK_EPSILON:g}"
    + r""" in Gu et al. 2024, arXiv:2410.10781, there as a mean over many texts
  of 64 tokens; here it is this text, and column means fall with its length).
- **Entropy**: mean of $-\sum_j p_{ij}\ln p_{ij} / \ln(\text{visible})$ over rows from 16 on. """
    + _CLASSES
    + r""" Their paper
  (arXiv:2501.03489) speaks of models without nonlinearities and has no such limits: a threshold is learnt per head.

- **Passed on**, where a layer has an output gate: mean of $\langle x, o\rangle / \langle o, o\rangle$ for what a head gives,
  $o$, and what goes into the output projection, $x$. A head with its mass on token 0 and one with a gate near 0 are both off.

Layers that mix tokens in another way (state space, convolution, linear attention) have no softmax attention: struck through.

Everything is measured while the model runs, a block of rows at a time; no attention map is ever stored.
Why a sink? The weights of a row must sum to 1. A head that has nothing to add gives them to a token with a tiny value.
"""
)

TRIAD = r"""
Three things come together at an extreme token (Guo et al. 2024, arXiv:2410.13835):

- **Sink**: heads attend to it. Line: mean over heads; band: least to most.
- **Value drain**: its value vectors are small next to the others' median, so attending to it adds little.
- **State peak**: its residual state is enormous (log scale).

Where the state jumps, the sink begins and the value drains: one mechanism in three pictures.
"""

DILUTION = r"""
Row entropy averaged over all heads of layers without a window, against position. Uniform attention would follow
$\ln N$. A flat difference means attention dilutes as the text grows; a growing one means it sharpens.
"""

RECEIVED = r"""
Mean attention a token gets from the queries that can see it. The last tokens are seen by few queries, so their
values are noisy. The colours end at the 99th percentile of the tokens after the first: the first is often far beyond it, and every token beyond it is marked.
"""

ENTROPIES = r"""
Each token is predicted by the query before it. Across: entropy of that query's attention over $\ln$ of what it can see, mean over
all heads. Up: entropy of the prediction. The rank correlation is Spearman's, over the tokens of this text only: it says nothing
about cause, and both change along a text.
"""

ACTIVE = r"""
Sink mass of each head on one text minus the other. A *dormant* head attends to token 0; on other texts the same head
is *active* (Guo et al. 2024, whose code tells such heads by the entropies of rows and columns; here it is the attention on token 0). Texts of different length have different uniform baselines: compare heads, not exact numbers.
"""

HEAD_MAP = r"""
One head's attention, computed now from this layer's queries and keys only. Rows are queries, columns keys; each row
of the full map sums to 1. A long text is pooled to the screen: the largest weight of each cell keeps single bright
tokens visible, the mean keeps the mass. Square root and log show small weights beside a sink; without token 0 the rest
keeps its weights, so a pale row is one that rests on token 0. *Weight × value* is the weight times the norm of the key's value:
what the head adds, before the output projection. Click the map, then the wheel zooms; a drag moves; 0 shows all of it.
"""

BREAK = r"""
The same text is read again with one thing changed; tokens keep their positions. The bars are the change in surprisal
of each token: above zero it became less expected. If heads need token 0 as a sink, hiding it raises the surprisal everywhere.
"""

STREAMING = r"""
Perplexity along the text under three rules of what a token may see: everything; only the last tokens; the first few and
the last ones, the same number in all (StreamingLLM, Xiao et al. 2023, arXiv:2309.17453). Keys keep their original positions here;
StreamingLLM's code renumbers them inside its cache.
"""

MASSIVE = r"""
Bars: Euclidean norm of each token's state. A token whose state is far larger than the others' holds massive activations: a few
dimensions of enormous size. The layer named is the one where the quotient of the largest norm and the median grows most.

*Find massive activations* lists the three largest $|h|$ of each layer's states, with token and dimension. *Absolute rule* (Sun et al. 2024): larger than 100 and
at least 1,000 times the layer's median $|h|$. *Ratio rule*, ours, for small models: at least 100 times the median. Layer 0 is what
enters block 1. Drain: norm of $W_O^h v$ of token 0 over the median of the others', per head.
"""
