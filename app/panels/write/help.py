"""Longer explanations of the cards of the page Write."""

ANSWER = r"""
Before every token the model gives each token of its vocabulary a probability $p$; the colour is the entropy
$H = -\sum p \ln p$ of these, at temperature 1 and before any sampler. The bars below are the same numbers, the line is
their mean over the last 8 tokens.

Marked: **forking tokens**, the most uncertain fifth (Wang et al. 2025, arXiv:2506.01939): good places to go another way.
Tokens are kept as they were drawn and never encoded again, so the numbers are those of reading the same tokens at once, up to
rounding.
"""

TREE = """
Branches with the same tokens from the prompt on are drawn once; the line is thicker where more of them pass, its area
as the share. They part where the first token differs, even where the letters look alike. ∎ is a branch that ends where
others go on. Click a row to put its branch on screen.
"""

COMPARE = r"""
Both branches are read from where their tokens first differ. **Log-probability** is the sum of $\ln p$ of those tokens, each
given all before it, at temperature 1. **Cost** compares as many tokens as both have: how much less likely the second way is than the
first, in nats (or bits). Means are over the tokens of each, and means of different lengths compare with care.
"""

ANSWERS = r"""
Every branch that begins at the prompt is one answer. Its answer is taken out of its text by the stated rule and normalised; equal ones
are a group. **Answer entropy** is $-\sum_c \frac{n_c}{N} \ln \frac{n_c}{N}$ over the groups, at most $\ln N$. It needs no other
model, and therefore splits paraphrases: it tends to lie above an entropy over meanings. A few samples give too little: about
$(K-1)/2N$ for K groups.
"""

VOTE = r"""
Every answer counts with the **confidence** of its sample: $-\frac{1}{k}\sum_i \ln p_i$ over the $k$ most probable tokens that were kept of
each position, averaged over 32 tokens in a row; the least sure stretch counts. Samples without an answer have no vote.
"""

THINKING = """
Tokens inside thinking, its markers with them, of every answer to the same prompt. Answers whose thinking never closes are left out of
the comparison of the longest with the shortest: they were cut.
"""

DIFFICULTY = """
Every question that comes with the app is answered several times at temperature 1, 48 tokens at most. A dot is one question: the mean
over its answers of the mean entropy over their tokens, against the share of right answers. Lines are the means of the thirds. An
answer that was not found in the text, or was cut before it came, counts as wrong.
"""

STEERING = r"""
The **direction** is the mean of the last token's states over prompts, weighted by the entropy over Yes and No, minus their plain mean. It
is added to the states of the middle layer at every position: strength 1 is as long as those states are on average, below 0 points to
sure prompts. Thin lines are questions, the thick one is their mean. Where both answers together have little probability, the model
would say something else, and the entropy between them means little.
"""
