"""Longer explanations of the figures: definition, formula, what to look for, source."""

STRIP = r"""
Before every token the model gives each token of its vocabulary a probability $p$.

- **Entropy** $H = -\sum p \ln p$: how many ways to go on it saw. $e^H$ is the number of equally likely tokens
  that would be as uncertain.
- **Surprisal** $-\ln p(\text{token})$: how unexpected the token was that came.
- **Gap** $= $ surprisal $- H$: unexpected, given how uncertain the model was.
- **Varentropy** $\sum p\,(\ln p + H)^2$: high when a few likely ways stand beside many unlikely ones.
- **Rank**: 1 for the model's first choice. The classes are GLTR's (Gehrmann et al. 2019): top 10, 100, 1000.
- **Forking tokens**: the most uncertain positions; in reasoning models they decide where the text goes
  (Wang et al. 2025, arXiv:2506.01939).

A hatched token had nothing before it. A token drawn in parts is one character made of several byte pieces.
"""

ALONG_THE_TEXT = r"""
The dashed line follows the text: mean of the last 25 entropies plus 4 standard deviations (at least 0.5 nats each),
never under 1.8 nats. SRGen (2025) intervenes where entropy jumps above it. It starts after 25 tokens.

Texts beyond 4,000 tokens are averaged over equal stretches; the axis says over how many tokens.
"""

QUADRANTS = r"""
Thresholds of entropix, in nats and nats²: *sure* $H<0.3, V<1.2$; *spread* $H>2.5, V<1.2$; *torn* $H<2.5, V>2.5$;
*lost* $H>1.2, V>2.5$ (it wins where both hold); *between* is everything else.
"""

LENS = r"""
The state after each layer goes through the model's final norm and vocabulary head (the *logit lens*,
nostalgebraist 2020). Early layers were not trained for that, so read their rows as a direction, not as a belief.
**KL** $= \sum p_\text{out} (\ln p_\text{out} - \ln p_\text{layer})$, in nats or bits: 0 where the layer already says
what the output says. The last row always equals the output; the run checks it.
Layer 0 is what enters block 1.
"""
