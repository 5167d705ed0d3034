"""Texts to start from, written for this app, each with something to look for in it."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.lessons.story import STORY


@dataclass(frozen=True)
class Example:
    """A text a person can measure at one click.

    Attributes
    ----------
    slug : str
        Short name, used in addresses.
    title : str
        Name on screen.
    text : str
        The text itself.
    hint : str
        One sentence on what to check in its entropy picture.
    """

    slug: str
    title: str
    text: str
    hint: str


_PASSAGE = (
    "The gardener plants beans along the southern wall, waters them before breakfast, and ties each young stem "
    "to a thin wooden pole. When the pods turn pale she gathers them in a basket, saves the largest seeds, and "
    "shares the rest."
)

_ALL = (
    Example(
        slug="story",
        title="A story, some code, a sum",
        text=STORY,
        hint="Compare the three parts, and check whether entropy falls where the sum leaves only one answer and "
        "where the last sentence repeats the first.",
    ),
    Example(
        slug="prose",
        title="Prose",
        text="""\
The ferry left the island while the harbour was still dark. On deck, a baker slept against a sack of flour, and \
two children argued in whispers about which of the lights on the far shore belonged to their aunt. The wind had \
turned in the night. It no longer smelled of salt and nets but of wet grass, which meant rain before noon, and the \
captain, who had not spoken since the ropes were drawn in, pulled his collar up and steered a little further to \
the north.

Halfway across, the engine coughed and fell silent. For a moment there was only the water. The baker woke, looked \
around as if someone had called his name, and then the engine caught again, and nobody said a word about it until \
the ferry touched the pier.
""",
        hint="Check whether entropy is higher at the start of a sentence or a word than inside it, and which "
        "nouns come as a surprise.",
    ),
    Example(
        slug="dialogue",
        title="Dialogue",
        text="""\
"Did you lock the shed?"

"I thought you locked it."

"I was holding the ladder. You had the key."

"No, I gave you the key before we climbed up. You put it in your left pocket, next to the pencil."

She searched the pocket. The pencil was there, and a folded receipt, and nothing else.

"It isn't here."

"Then try the right one."

"Why would I put it in the right one?"

"Why would you put a pencil in your coat?"

She laughed, tried the right pocket, and held up the key. "All right. But the shed is still open."

"Then we had better go back," he said, "before the goat finds out."

"The goat already knows," she said, and pointed across the yard.
""",
        hint="Check the quotation marks and line breaks: is it harder to predict who speaks, or what is said?",
    ),
    Example(
        slug="code",
        title="Code",
        text='''\
def find_position(values, wanted):
    """Return the index of wanted in a sorted list, or -1 if it is missing."""
    low = 0
    high = len(values) - 1
    while low <= high:
        middle = (low + high) // 2
        if values[middle] == wanted:
            return middle
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return -1


def count_words(text):
    """Count how often each word occurs, ignoring case."""
    counts = {}
    for word in text.lower().split():
        counts[word] = counts.get(word, 0) + 1
    return counts


prices = [3, 8, 12, 25, 40]
print(find_position(prices, 25))
print(count_words("to be or not to be"))
''',
        hint="Check whether brackets, colons and indentation are predicted with low entropy, and new names with "
        "high entropy.",
    ),
    Example(
        slug="arithmetic",
        title="Arithmetic",
        text="""\
A worksheet, worked from top to bottom. Every line begins with the result of the line before it.

17 + 28 = 45
45 - 19 = 26
26 * 3 = 78
78 / 6 = 13
13 * 13 = 169
169 + 31 = 200
200 / 8 = 25
25 * 4 = 100
100 - 37 = 63
63 / 9 = 7
7 * 12 = 84
84 + 16 = 100

The last line arrives at one hundred again, so the worksheet could go on from there in a circle.
""",
        hint="Compare the first number of a line, the operator and the result: check whether the result, which "
        "leaves no choice, has the lowest entropy.",
    ),
    Example(
        slug="table",
        title="Table",
        text="""\
The bakery writes down every day how many loaves it baked and how many of them it sold. What is left over in the \
evening goes to the shelter across the street.

| Day       | Baked | Sold | Left over |
|-----------|-------|------|-----------|
| Monday    | 40    | 35   | 5         |
| Tuesday   | 44    | 41   | 3         |
| Wednesday | 38    | 38   | 0         |
| Thursday  | 46    | 40   | 6         |
| Friday    | 60    | 57   | 3         |
| Total     | 228   | 211  | 17        |
""",
        hint="Check whether the column bars and weekday names settle to low entropy row by row, and whether the "
        "last column, which follows from the two before it, does too.",
    ),
    Example(
        slug="repeated",
        title="The same passage three times",
        text="\n\n".join([_PASSAGE] * 3) + "\n",
        hint="Check whether entropy drops in the second copy, how many tokens into it, and whether the third "
        "copy is lower still.",
    ),
    Example(
        slug="german",
        title="German",
        text="""\
Am Rand des Dorfes steht eine alte Mühle, deren Rad sich schon lange nicht mehr dreht. Im Sommer sitzen die Kinder \
auf der Mauer am Bach und lassen kleine Boote aus Rinde schwimmen. Wer zuerst unter der Brücke ankommt, darf sich \
etwas wünschen.

Als das Wasser im Herbst einmal besonders hoch stand, fing das Mühlrad plötzlich wieder an, sich zu bewegen. Erst \
knarrte es nur, dann drehte es sich so gleichmäßig, als wäre nie etwas gewesen. Die Leute kamen aus ihren Häusern, \
blieben am Ufer stehen und hörten zu. Am nächsten Morgen war das Wasser gefallen, und alles war wieder still.
""",
        hint="Check whether entropy differs between the pieces of a long word, and whether verbs at the end of a "
        "clause are predicted or not.",
    ),
    Example(
        slug="spanish",
        title="Spanish",
        text="""\
Todas las tardes, cuando baja el calor, la plaza se llena de gente. Los mayores sacan sus sillas a la puerta y \
comentan las noticias del pueblo; los niños corren alrededor de la fuente hasta que alguien los llama para cenar. \
En la esquina, una mujer vende naranjas y siempre regala una a quien le cuenta una buena historia.

Ayer llegó un viajero con una maleta muy pequeña. Dijo que no tenía dinero, pero que conocía un cuento que nadie \
había oído todavía. La mujer lo escuchó sin decir nada, se rió al final y le dio dos naranjas: una por el cuento y \
otra por el camino.
""",
        hint="Check whether endings that must agree, as in articles, adjectives and verbs, have lower entropy "
        "than the word stems before them.",
    ),
    Example(
        slug="japanese",
        title="Japanese",
        text="""\
朝の港に、小さな船が三隻とまっている。漁師たちは網をたたみ、今日とれた魚を箱に並べる。赤い箱には鯖が七匹、青い箱には鯵が五匹、\
合わせて十二匹だ。猫が一匹、桟橋の端に座って、じっとその様子を見ている。やがて空が明るくなり、市場の鐘が鳴る。漁師は笑いながら、\
いちばん小さな魚を猫に投げてやった。猫はそれをくわえると、振り返りもせずに、細い路地の奥へ消えていった。
""",
        hint="Check how many tokens one character takes, and whether the later bytes of a character have lower "
        "entropy than its first.",
    ),
    Example(
        slug="reasoning",
        title="A problem, reasoned step by step",
        text="""\
Problem: A tank holds 240 litres. The first tap alone fills it in 8 minutes, the second tap alone in 12 minutes. A \
drain at the bottom lets out 10 litres per minute. The tank is empty, and both taps and the drain are opened \
together. How long does it take to fill the tank?

Let us think step by step. The first tap brings 240 / 8 = 30 litres per minute. The second tap brings 240 / 12 = 20 \
litres per minute. Together they bring 30 + 20 = 50 litres per minute. The drain takes 10 of them away, so the tank \
gains 50 - 10 = 40 litres per minute. Filling it therefore takes 240 / 40 = 6 minutes.

Let us check the answer. In 6 minutes the taps bring 6 * 50 = 300 litres, and the drain removes 6 * 10 = 60 litres. \
What remains is 300 - 60 = 240 litres, which is exactly one full tank. The answer is 6 minutes.
""",
        hint="Check where entropy is high, at the words that choose the next step or at the numbers that follow "
        "from it.",
    ),
)

EXAMPLES: dict[str, Example] = {example.slug: example for example in _ALL}
"""Every example by its slug, in the order to show them."""

DEFAULT = "story"
"""The slug of the text a first visit starts with."""


def example_of(text: str) -> Example | None:
    """The example that this text is, or None."""
    return next((example for example in _ALL if example.text == text), None)
