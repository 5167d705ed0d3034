"""Longer explanations of the cards of the page Visual tokens."""

LOOK = r"""
The model cuts the picture into **patches** and turns each into one **visual token**. Before it writes a token, every head gives each
position before it a share of its attention; the shares add up to 1. The colour of a patch is its share, mean over the chosen layers and
heads, on a square root scale. The strip above the picture is the answer; its colour is the entropy before each token. Click a token to
see where it looked, click a patch to follow it.

**Sinks** (dashed) get over ten times an even share of what a row spends on the picture, whatever is read: they need not say anything about the
question. Four in ten of the shipped model's answers have one, rarely at the border; the example has none.

Attention is where a model *reads*, not why it answers: the view *horizon* shows what happens when a patch is really gone.
"""

SHARES = r"""
Shares of the written token's attention in each layer, mean over heads: on all visual tokens, on text, and on position 0, which most
language models use as a sink. With $A_T, A_V$ the attention on text and on visual tokens and $n_T, n_V$ their numbers, the **modality
dominance index** is $(A_T/n_T)/(A_V/n_V)$ and the **attention efficiency index** of text $\frac{A_T}{A_T+A_V} \big/ \frac{n_T}{n_T+n_V}$: above 1
text gets more than its number of tokens says. Both are in the table, with and without position 0.
"""

HEADS = r"""
Which heads look at the picture, layer by layer. The colour is the share of a head's attention that falls on visual tokens;
the entropy of that part is in the table: near 0 it rests on one patch, near $\ln N$ it is spread over all. In the shipped model nearly
all heads behind layer 0 spend over half of their attention there.
"""

LAYERS = r"""
**Matrix entropy**: the states of all visual tokens in a layer, centred and normalised row by row, as a matrix $Z$; the entropy of the
eigenvalues of $ZZ^\top/\mathrm{tr}(ZZ^\top)$. It is high when tokens point in many directions, and falls where they become alike: from there on
many could go. The dashed curve leaves the text's first token out, which alone may make a fall.

A **collapse layer** is the layer of the largest fall over many pictures; "none" is an answer.
"""

PATCHES = r"""
**Norm**: length of a visual token's state. **Query entropy** (EntropyPrune): how evenly the heads' queries of a token spread over directions,
0 to ln(H - 1) / ln H for H heads. **Transition** (TransPrune): how much a layer turns a token and changes its length. **Attention received**: mean share that the
question and the answer give it. All of one layer, or the mean over layers.
"""

PRUNE = r"""
Each method keeps so many visual tokens and drops or merges the rest, before the language model or after one of its layers. What follows
is held against the run with all tokens: **KL** of the prediction of the answer's first token, its mean over the answer, and the change of the
log-probability of the right answer (below 0: less likely).

**Kept after pruning** and **mean over layers** are two counts: a method that prunes after layer $K$ of $L$ leaves all $N$ tokens to the first
layers, so that its mean is never below $KN/L$. They are never on one axis. **Random** tokens and **down-sampling** (blocks of patches averaged
to one) are the controls: what does not beat them says nothing about this picture. One question says little about a method; accuracy over
many questions is what counts.
"""

KEPT = """
Veiled and struck through: gone, or merged into another patch. Point at a patch to see before which layer. Down-sampling and merging keep
something of every patch: the one that stays stands for its block.
"""

SPLIT = """
Generated scenes of the test split, each with its questions, answered greedily; an answer counts when it is exactly the right one. Bars are
95 % intervals of a bootstrap over pictures, since questions about one picture share its fate. In the table every method is held against
random tokens and down-sampling on the same questions, paired. **Group A** are questions that all tokens answer rightly and down-sampling to
the same number does not, **group B** those that both do (VTC-Bench): only group A can show what a clever choice of tokens is worth.

The dotted line is all tokens. The dashed one is a control that prunes nothing: the picture made half as large and as large again, so that it has the
detail that down-sampling by 2 leaves, read with all tokens. It is a row of its own in the table.
"""

HORIZON = r"""
From a layer on, visual tokens are hidden from everything after them; positions stay as they were, so that this is exact. The **horizon** is the
first layer from which on hiding all of them changes the answer's log-probability by less than 0.05 nats. Behind it any method may drop
everything: there, random tokens are as good as chosen ones.

A **window** is a block of patches. *Gone*: the change of the probability of the answer's first token if only this window is hidden; blue is less
likely. *Alone*: what it brings back if nothing else of the picture is left (Information Horizon, 2025). Both know the answer, so they are
an oracle to hold methods against.
"""

FRAGILITY = """
Every colour value of the picture moves by at most so many of 255 levels: by chance, or so that the tower attends less to what it
attends to most. The same questions are answered with all tokens and with few, on the picture as it is and changed. **Random** tokens are
one draw (seed 0), the same in all pictures: one number, not what random tokens do on average.

**SR**: accuracy of all tokens on changed pictures over that on pictures as they are. **CER**: share that the kept tokens get wrong on changed
pictures. **CBR**: of the questions that all tokens get right on both, and the kept ones on the picture as it is, the share that the kept ones
then get wrong: what compression alone adds. **K_prac**: the fewest tokens with at least 80 % of the full accuracy. The table also says how
much of what is kept stays the same, and how many of the lowest tokens come among the kept. It is measured on scenes, and says nothing
about other pictures.
"""

PAIR = r"""
Two answers of one model. **A** is the one on screen, **B** another question about the same picture, a question about another scene, or the answer
that was on screen before. Colours of both pictures have one scale, entropies of both answers too. Click a token in either answer; layer, head and
patch are the same in both.

Where both are about one picture, a patch of A is that patch of B, and the difference is B's share less A's: orange where B looks more, blue
where A does. **Moved** is the total variation of the two over the patches, $\tfrac12\sum_i |a_i/\sum a - b_i/\sum b|$: 0 if both look at the same, 1 if at
nothing in common. Sinks get much from either and hide what moves; it is said without them as well. Of two pictures there is no difference patch
by patch: only shares, layers and whole answers can be compared.
"""
