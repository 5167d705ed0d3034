"""Prompt compression: the ready example, and explanations of its figures."""

CONTEXT = """\
The old lighthouse at Marrow Point has been empty since the new beacon was built, but the village still keeps it in \
good repair. Every spring a few volunteers climb the ladder, scrape the rust from the railing and paint the door. The \
paint is paid for by the fishing cooperative, which also owns the boat shed below the rocks.

The tower is locked for most of the year. The only key hangs in the kitchen of Agnes Holloway, the retired \
postmistress, who lives in the yellow house next to the chapel. She lends it to anyone who asks politely and writes \
the name of the borrower in a small green notebook. Last year forty-one people signed it, among them a film crew and \
a school class from the city.

In August there is a summer fair on the meadow behind the harbour. Children race crabs along a wooden gutter, the \
choir sings twice, and the baker sells plum cake until nothing is left. When the evening is clear, the lamp in the \
lighthouse is lit for an hour, and the ferry sounds its horn in reply. Nobody remembers who began this custom, and \
nobody wants it to end."""
QUESTION = "Question: Who keeps the key of the lighthouse?\nAnswer:"
ANSWER = "Agnes Holloway"
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
