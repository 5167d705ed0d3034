"""Explanations of the eviction figures: definition, formula, what to look for, source."""

METRICS = {
    "kl": "Lower is better: how far the next predictions moved. The full cache is 0.",
    "kl_p95": "Lower is better: the predictions that moved most, one in twenty.",
    "delta_nll": "Nearer to 0 is better. Below 0: the text became less surprising, by chance or because something misleading is gone.",
    "top1_agreement": "Higher is better: how often the first choice stayed what it was.",
    "answer_logp": "Higher is better: how likely the whole answer is. The line is the full cache.",
    "retained_mass": "How much of the attention that the continuation pays to the context goes to what was kept.",
}

CURVES = r"""
The context is read once. Each method gives every token of the cache a score, per layer and KV head, and keeps the highest; all methods
keep the same number in total. The continuation is then read word for word, with what is left. Keys keep their positions.

- **KL**: $\sum_x p(x) \ln \frac{p(x)}{q(x)}$ between the full cache's prediction $p$ and the pruned one's $q$, over the whole
  vocabulary. It sees damage that the text itself does not show.
- **Change in NLL**: mean surprisal with the pruned cache minus with the full one. It has a sign and is never cut off at 0.
- **Attention kept**: share of the full cache's attention from the continuation to the context that falls on kept tokens, mean over
  layers and heads.

The first token of the continuation was predicted before anything was evicted and is left out. The grey band is *random*: lowest to
highest over seeds, the line their mean. A method inside the band is no better than chance on this text.
"""

KEPT = r"""
One KV cache holds a key and a value per token in every layer and KV head, and a method keeps other tokens in each. The strip counts in
how many of these pairs a token is kept; the map shows where. Methods that look at attention keep first tokens almost everywhere: these are the
attention sinks.
"""

OVERLAP = r"""
**Jaccard**: $|A \cap B| / |A \cup B|$ of two kept sets, per layer and KV head, then the mean. Two random sets that keep a share $s$ have about
$s / (2 - s)$: .33 at 50 %, .05 at 10 %. The **oracle** keeps what the continuation really attended to under the full cache, on the same
budgets: no method can know that beforehand. Much attention is not the same as much effect, so the oracle is not always best.
"""

POSITIONS = r"""
Each row is a method, each cell a stretch of the context: stronger colour, more of it is kept. The tick is the mean position of all
that is kept; a method without a preference has it in the middle. Sums over attention favour early tokens, which more
queries can see; a window favours late ones.
"""

DAMAGE = r"""
Every token after the context, coloured by **KL** (how far its prediction moved) or by the **change in surprisal** (orange: the token that
came became less expected; blue: more). A mean hides that damage is uneven: most tokens follow from their neighbours, a few need something
that was evicted.
"""

PHRASE = r"""
A phrase of the context: each cell says how much of it a method kept in one layer and KV head. A fact can only be read back through cells that kept it;
what earlier layers passed on in later tokens may still help.
"""

HEAVY = r"""
**Definition.** In every head the tokens are sorted by the attention they receive from the whole text; drawn is the share of all attention that goes to the heaviest of them.

**What to look for.** A steep start: most attention goes to few tokens, so a cache could do without the others if it knew them. It is an upper bound: a method must choose before the later tokens have looked.
"""
