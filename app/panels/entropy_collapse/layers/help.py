"""What the figures of entropy collapse over layers mean, for their "How to read this"."""

CURVES = r"""
**Definition.** The states of all tokens at one layer form a cloud of $N$ points in $D$ directions. Centre it, give every
point the length 1, and take the eigenvalues of its covariance as shares $p_i$ that sum to 1.
Matrix entropy is $S_\alpha = \frac{1}{1-\alpha} \ln \sum_i p_i^\alpha$, and for order 1 $-\sum_i p_i \ln p_i$. It is at most
$\ln \min(N - 1, D)$: every direction used alike.

- **Effective rank** is $e^{S_1}$: how many directions the cloud fills. From singular values ($\sigma_i = \sqrt{p_i}$, normalised to sum 1) it
  is larger than from eigenvalues: two definitions, never compare one with the other.
- **alpha-ReQ** is the exponent of the power law through eigenvalues 11 to 100; it needs at least 100 of them.
- **Curvature** is the mean angle between one step of the state along the text and the next.
- **Logit-lens entropy** is the mean entropy of what a layer would predict; it comes from the vocabulary, not from the cloud.

**What to look for.** A sudden drop that is gone in the dashed curve comes from token 0 alone: its state becomes enormous, the centre of the cloud
moves towards it, and all other tokens then lie in one direction. Attention sinks shows the same token at the same layer.

**Sources.** Skean et al. 2025 (matrix entropy over layers, there a mean over many texts, and its code sets negative entries of the Gram
matrix to 0; here it is this text, and nothing is set), Roy and Vetterli 2007 (effective rank), Agrawal et al. 2022 (alpha-ReQ),
Hosseini and Fedorenko 2023 (curvature).
"""

SPECTRUM = r"""
**Definition.** Eigenvalues of the covariance of the centred, row-normalised states of one layer, as shares of their sum, on two
logarithmic axes. The line is the power law $i^{-\alpha}$ fitted to eigenvalues 11 to 100 with weights $1/i$.

**What to look for.** One eigenvalue far above the rest: the tokens differ mostly along one direction. A straight line with $\alpha$ near 1: a balanced spectrum.
"""

COLLAPSE = r"""
**Rule.** For each text and layer the share of matrix entropy lost in that layer, $(S_{l-1} - S_l) / S_{l-1}$. The layer with the largest median over
the texts is *the collapse layer* if that median is at least 10 % and at least 80 % of the texts lose most there, one layer more or less. Otherwise there is none.

**What to look for.** Dots that agree at one layer. A drop that is there with token 0 and gone without it is caused by one token.

**Source.** The idea is EntropyPrune's entropy collapse layer; its detection code is not public, so the rule is our own.
"""

ROWS = "Rows are the tokens of this one text; RankMe and the source of the phases take one vector per input, thousands of inputs."

MODELS = r"""
**Definition.** The same text read by each model, one in memory at a time. Over layers: matrix entropy as above. At the end, of the states after the final norm:
**RankMe** (effective rank of the uncentred states from singular values), the **effective rank** of the centred states from covariance
eigenvalues, and **alpha-ReQ**. **Diff-eRank** is the effective rank of the untrained twin (same architecture, random weights) minus that of the trained model,
both centred, row-normalised, from eigenvalues: how many directions training took away, or, where it is negative, added.

**Phases.** *Collapse* down to the lowest rank before the peak, *expansion* up to the peak, *compression* after it; each is named only if it changes the rank by 5 % or more.

**What differs.** A row of the matrix is a token of the text on screen. RankMe (Garrido et al. 2022) has one embedding per image, 25,600 of them, and adds
$10^{-7}$ to each share; the phases (Li et al. 2025) have the last token of each of many texts; Diff-eRank (Wei et al. 2024) is averaged over a data set. Tokens
of one text depend on each other and are few, so compare models on this text, never with numbers from those papers.
"""
