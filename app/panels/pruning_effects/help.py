"""What the pictures of costs, needles, horizons and stability mean, for their "How to read this"."""

BILL = r"""
**Definition.** Keys and values take $2 \cdot \text{bytes} \cdot d \sum_{l,h} n_{l,h}$, with $n_{l,h}$ tokens kept by each KV head. *Logical* counts what is kept;
*physical* what a cache with one length per layer must hold: the longest KV head of each layer. A step of decoding costs two
operations per weight and $4\, n\, H d$ per layer for $n$ keys.

**What to look for.** Where keys and values are small against the weights, pruning them cannot make decoding much faster: each step reads
all weights anyway. With 16 texts at once the weights are read once for all, and the cache counts.
"""

WRITING = r"""
**Definition.** The cache of the context is pruned once; then the start is read and the model writes its most likely token, again and again. *First differs* counts
the tokens that are the same as with the full cache.

**What to look for.** One different token near the start can lead to another text that is as good; many methods that differ at the same place have lost the same fact.
"""

TIMES = r"""
**Definition.** The keys and values that a method keeps are gathered into a cache of the library; then tokens are decoded one by one, for one text and for 16
with the same cache. *Physical bytes* are what that cache really holds.

**What to look for.** A step reads all weights once, whatever the cache holds: with one text and a short context nothing is gained. Methods whose heads keep different
numbers of tokens cannot be gathered into a cache with one length per layer, and say so.
"""

NEEDLE = r"""
**Definition.** A generated text with one made-up fact at a depth; the cache is pruned before the question is known. Colour: log-probability of the
answer's tokens. Ring: greedy decoding would have said the answer.

**What to look for.** First whether the full cache can do it at all. Methods that go by position find a needle only where they keep tokens;
methods that go by the attention of the last tokens do not know the question yet.
"""

HORIZON = r"""
**Definition.** The chosen tokens are hidden from all layers from $l$ on; lower layers still see them. The curve is the log-probability of the answer against $l$,
the dashed line the full cache.

**What to look for.** The layer from which on the curve lies on the line: the *horizon*. What the tokens said has been copied by then, and they could be evicted there without damage.

**Source.** After the information horizon of visual tokens; this is its text analogue.
"""

STABILITY = r"""
**Definition.** Every embedding of the context gets a random vector of a given relative length added. *Kendall's tau* compares the ranking of tokens
with and without it, *kept tokens that stay* the sets. Beside it: the change in NLL that the same noise causes with the full and with the pruned cache.

**What to look for.** Ranks that change under noise that changes little with the full cache: then an unusual input upsets the method, not the model.
"""
