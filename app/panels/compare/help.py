"""Longer explanations of the cards of the page Compare."""

from analysis.comparison.quantities import COMPARED_QUANTITIES

_QUANTITIES = "\n".join(quantity.help_line for quantity in COMPARED_QUANTITIES.values())

STRIPS = rf"""
Side A above, side B below, the same token under each other; both on one scale. $p_A$ and $p_B$ are the predictions of the token,
over the whole vocabulary and given everything before it on that side.

{_QUANTITIES}

A triangle marks a token before which the two sides had other first choices. Hatched in a side: it has nothing there, or had
nothing before it. Hatched in the row of differences: not compared, because only one side has that token. Two tokenizers are
compared over the shortest stretches that both cut out of the text, and then by surprisal and entropy alone.
"""

ALONG = r"""
Above, both sides' entropy (or surprisal) before each token of A; below, how far apart they are. Dotted lines: the texts part there. Most
effects of a prompt or of a beginning-of-text token are on the first tokens, which the logarithmic scale shows best: there a change
stands with its size, its sign in the colour.

**Direction.** KL(A‖B) $= \sum p_A (\ln p_A - \ln p_B)$ is the price of B where A is the truth. The mean change of surprisal on a text is not a
KL divergence, unless A wrote that text.
"""

CHOSEN = r"""
The most probable tokens of A and of B in this place, each with what the other side gives it: ▲ B gives it more, ▼ less. Bold: the
token that came.
"""

CHANGED = """
Tokens of the largest change first. The first tokens of a text and those of a template often lead: little stands before them. Choose a row to
see its token in every picture.
"""

QUADRANTS = r"""
Across: change of entropy, B less A. Up: change of surprisal of the token that came. **Surer, and right**: B has less entropy, and the token was less
of a surprise to it. **Surer, and wrong**: less entropy, and more surprise. The numbers count tokens; a change of exactly 0 is in no quadrant.
Right and wrong are about the token that came, not about facts.
"""

SUMMARY = r"""
Means over the compared tokens, with intervals of 95 %. Neighbouring tokens depend on each other, so intervals are made from blocks of them. The
rows under llama.cpp's names (mean, maximum and 99 % of KL(A‖B), same top token, change of the probability of the text's token) are what its
`--kl-divergence` prints, here over every row and without its 16-bit steps.
"""

HEADS = r"""
**Sink mass**: mean attention of a head on its side's own first token, less what uniform attention would give it. With a beginning-of-text token on one
side the first tokens are different ones: sink is compared with sink, since key by key token 0 would seem to lose all of it.
**Row entropy**: $H / \ln(\text{visible keys})$ of the rows of the tokens that both sides have.
"""

LAYERS = r"""
**Matrix entropy**: entropy of the eigenvalues of the states' covariance, of each side's own tokens. **Median norm**: of the states of the tokens that both
sides have, on a logarithmic scale. Models of different depth are drawn over their relative depth, and not subtracted.
"""

ENGINE = r"""
An engine wrote tokens and says which log-probability each had; the model gives the same tokens its own. $r = p_\text{model} / p_\text{engine}$, and over
tokens that the engine drew **k1** $= -\ln r$ is KL(engine‖model) without bias, single values of any sign; **k3** $= r - 1 - \ln r$ is the same, never below 0, not
always calmer; **k2** $= \frac12 \ln^2 r$ is biased. **Effective share** $= 1/\text{mean}(\hat w^2)$ of the weights: what the weighted sample is worth. Log-probabilities that
were taken after top-p or at another temperature are another distribution's.
"""
