"""Prompt compression: the ready example, and explanations of its figures."""

from analysis.pruning_effects.compression.example import ANSWER, CONTEXT, QUESTION

__all__ = ["ANSWER", "CONTEXT", "CURVES", "HINT", "QUESTION", "STRIP"]

HINT = "One sentence holds the answer. Which methods still have it at half of the tokens, and do they beat random words?"

CURVES = r"""
The context is made shorter, then the model reads *shorter context, question, answer*. Nothing else changes: the
question and the answer have the same tokens every time, and the model is not touched.

- **Change of NLL**: mean of $-\ln p$ over the answer's tokens after the shorter context, minus the same after the
  whole context. Above 0: the answer became less likely. Below 0: the shorter text helps. Nothing is clipped.
- **Dotted lines**: the whole context (0), and no context at all. A method near the upper line lost the fact; above it,
  the text that it left misleads the model.
- **Equal tokens**: at one share all methods get the same budget of tokens of the shorter text, as the model's own
  tokenizer cuts it, and fill it with what they rank first. A point lies at the share really used.
- **Grey band**: least to most over the seeds of *random*. *stop words*, random within its two groups, is drawn as the mean.

**Always look at the grey band first.** A scorer that does not leave it is no better than leaving out words at random; one whose
*bottom* line (the same scores, the lowest kept) lies beside its own has scores that say nothing here.

*gradient* and *reagent* know the answer: they show what could be found, not what a person could use.
*llmlingua* and *longllmlingua* are those papers' engines with the loaded model as the small one.
Sources: Selective Context arXiv:2310.06201, LLMLingua arXiv:2310.05736, LongLLMLingua arXiv:2310.06839, LLMLingua-2
arXiv:2403.12968, ReAGent arXiv:2402.00794.
"""

STRIP = r"""
The original text. Coloured words were kept, the others left out; the hover gives the method's score. The shorter text
is made of these pieces alone, in their order. Where a dropped piece held the only space between two kept ones, that
space stays.

A name cut by the tokenizer can lose a part: `Hollow|ay` becomes `Hollow` when its predictable end is dropped. Choose
**word** as the unit to keep names whole, **sentence** to keep grammar.
"""
