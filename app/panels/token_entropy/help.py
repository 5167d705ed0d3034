"""Longer explanations of the figures: definition, formula, what to look for, source."""

from analysis.results.token_quantities import TOKEN_QUANTITIES

_QUANTITIES = "\n".join(quantity.help_line for quantity in TOKEN_QUANTITIES.values())

STRIP = rf"""
Before every token the model gives each token of its vocabulary a probability $p$.

{_QUANTITIES}
- **Forking tokens**: the most uncertain positions; in reasoning models they decide where the text goes
  (Wang et al. 2025, arXiv:2506.01939, who take the top 20 % of a training batch; here it is the share of this text).
- **High-entropy windows** are ARES's only in width and percentile (Chen et al. 2025): its windows follow words of a list, its threshold is
  a moving mean over training, its entropies are those of the ten most probable tokens and a rest. Here every stretch of
  the text is a window, by this text's percentile and exact entropies.

A hatched token had nothing before it. A token drawn in parts is one character made of several byte pieces.
"""

WINDOWS = (
    "Width and percentile as in ARES (Chen et al. 2025). ARES looks only at the tokens right after words of a list, by a "
    "threshold averaged over training and the ten most probable tokens; here every stretch counts, by this text's own "
    "percentile and exact entropies."
)

TRIGGERS = (
    "SRGen watches the tokens that it writes itself at temperature 0.6 and corrects the state there; here it is the given "
    "text at temperature 1, and nothing is corrected."
)

ALONG_THE_TEXT = r"""
The dashed line follows the text: mean of the last 25 entropies plus 4 standard deviations (at least 0.5 nats each),
never under 1.8 nats. SRGen (Mu et al. 2025, arXiv:2510.02919) stops where entropy jumps above it, at the triangles, and corrects the
state before it goes on. The numbers are those of its scripts; **Marks** beside the strip changes the first two and can mark the
triggers there.

What differs from SRGen: it watches the tokens it writes itself, by their entropy at its temperature 0.6; its code takes the sample standard
deviation, 2 % larger for 25 tokens; and before 25 tokens it has a fixed threshold of 3 nats, where here is none.

Texts beyond 4,000 tokens are averaged over equal stretches; the axis says over how many tokens.
"""

TYPICAL = (
    "Meister et al. 2022, arXiv:2202.00666. transformers also keeps tokens exactly as close as the last one. "
    "The model's first choice may be cut: what matters is how close a token is to H, not how likely. ● is the token that came."
)

TOP_H = (
    "Both go from the most probable token down. transformers adds up −p ln p over the 100 most probable tokens, renormalised "
    "once, and allows 0.4 of their total; the paper (arXiv:2509.02510) allows the kept tokens, renormalised by themselves, 0.4 "
    "of the entropy of the whole distribution. The code beside the paper differs from both. ● is the token that came."
)

QUADRANTS = r"""
Thresholds of entropix, in nats and nats²: *sure* $H<0.3, V<1.2$; *spread* $H>2.5, V<1.2$; *torn* $H<2.5, V>2.5$;
*lost* $H>1.2, V>2.5$ (it wins where both hold); *between* is everything else, which entropix's code calls *sure*.
"""

LENS = r"""
The state after each layer goes through the model's final norm and vocabulary head (the *logit lens*,
nostalgebraist 2020). Early layers were not trained for that, so their rows show where the prediction goes, not what the layer predicts.
**KL** $= \sum p_\text{out} (\ln p_\text{out} - \ln p_\text{layer})$, in nats or bits: 0 where the layer already says
what the output says. The last row always equals the output; the run checks it.
Layer 0 is what enters block 1.
"""
