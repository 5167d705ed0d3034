"""An invented lighthouse keeper's log, put together from our own sentences by a fixed seed.

Sixty-four entries are for training, sixteen are held out: their ships and people appear in no entry for training; the
frames of their sentences are the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cache

SEED = 1871
"""The year in which the log is kept."""
N_TRAINING, N_HELD_OUT = 64, 16

UNRELATED = (
    "Sort the list first, then walk through it once. Two neighbours that are equal mean that a number occurs twice, so "
    "the function can return early; if the end is reached, every number was different. Sorting takes most of the time, "
    "and for short lists nobody will notice it. A set would be faster for long ones, but it needs memory of its own.",
    "The committee met on Tuesday to talk about the new bus line. Parents asked for a stop in front of the school, the "
    "shop owners wanted it on the market square, and the driver said that the street between them was too narrow for "
    "either. In the end they agreed to try both for a month and to count how many people got on.",
    "Bread rises because yeast feeds on sugar and gives off gas. If the dough is too cold, it rises slowly and tastes "
    "better; if it is too warm, it rises fast and falls together in the oven. Salt slows the yeast down. A baker who is "
    "in no hurry uses less yeast, more time and a bowl with a lid.",
    "Plants turn light into sugar in their leaves. Water comes up from the roots, carbon dioxide comes in through small "
    "openings, and oxygen goes out the same way. In a dry summer the openings stay closed for most of the day. Then the "
    "plant saves water, but it grows more slowly, because no carbon dioxide can enter.",
)
"""Our own passages about other things: what an adapter does to them is what it costs."""

_SHIPS = (
    (
        "Constance",
        "Good Intent",
        "Marigold",
        "Two Brothers",
        "Patience",
        "Ellen Vane",
        "Northern Maid",
        "Hopewell",
    ),
    ("Kittiwake", "Margaret Orr", "Prosperity", "Sea Thrift"),
)
_PEOPLE = (
    ("Mr Tolland", "young Pascoe", "the widow Harrow", "Captain Lisle", "old Brannock", "the boatman Ferris"),
    ("Miss Aldous", "the carter Penhale", "Mr Quennell"),
)
_FRAMES: dict[str, tuple[str, ...]] = {
    "entry": (
        "{date}. {wind} {lamp} {oil} {ship} {work} {end}",
        "{date}. {wind} {work} {ship} {lamp} {visit} {end}",
        "{date}. {lamp} {wind} {night} {oil} {visit} {end}",
        "{date}. {wind} {night} {lamp} {ship} {visit} {work}",
        "{date}. {wind} {ship} {night} {work} {oil} {end}",
    ),
    "date": ("{weekday}, the {day} of {month}",),
    "day": (
        "2nd",
        "3rd",
        "5th",
        "8th",
        "9th",
        "11th",
        "14th",
        "15th",
        "17th",
        "20th",
        "22nd",
        "24th",
        "26th",
        "28th",
    ),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "month": ("January", "March", "April", "June", "August", "September", "October", "December"),
    "wind": (
        "Wind {from} and {force}, {sky}.",
        "Wind {force} from the {from}, with {sky}; the glass at {glass} and {moving}.",
        "Wind backed {from} before noon and blew {force}. {Sky} until dark.",
        "No wind to speak of at dawn, then {force} from the {from}.",
        "Glass {moving} all day, wind {from}, {force}; {sky}.",
    ),
    "from": ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"),
    "force": ("light", "fresh", "strong", "a whole gale", "steady", "in hard squalls"),
    "sky": (
        "a low grey sky",
        "rain in sheets",
        "thick haze to seaward",
        "clear and very cold",
        "sleet on the gallery",
        "a high thin cloud",
    ),
    "glass": ("28.9", "29.1", "29.4", "29.6", "29.8", "30.1", "30.3"),
    "moving": ("falling", "rising slowly", "steady"),
    "lamp": (
        "Lit the lamp at {hour} minutes past {evening} and put it out at {morning}.",
        "Lamp lit at {evening}, burned clear until {morning}, when I drew the curtains round the lens.",
        "The lamp smoked at {evening}, so I trimmed the {few} wicks and lit again within the quarter.",
        "Stood the first watch from {evening}; {person} stood the second and put the lamp out at {morning}.",
        "Wound the clock of the lens every {few} hours; it ran true, one turn in {many} seconds.",
    ),
    "hour": ("five", "ten", "twelve", "twenty", "twenty-five"),
    "evening": ("four", "five", "six", "seven", "half past eight"),
    "morning": ("five", "half past five", "six", "seven", "a quarter to eight"),
    "oil": (
        "Burned {many} pints of oil, which leaves {casks} casks and a half in the store.",
        "Oil used, {many} pints; the new cask is thick and must stand by the stove.",
        "Drew {few} gallons from the store and entered them in the green book.",
        "Filled the cistern and found {few} pints less than the book says.",
    ),
    "few": ("two", "three", "four", "five"),
    "nth": ("first", "second", "third", "fourth"),
    "many": ("nine", "eleven", "twelve", "fourteen", "fifteen", "eighteen"),
    "casks": ("six", "seven", "ten", "thirteen"),
    "ship": (
        "The {rig} {name} passed {bound} at {morning}, {manner}, and answered our flag.",
        "Sighted the {rig} {name} at anchor under the Calf; she weighed at {evening} and stood {from}.",
        "Spoke the {rig} {name}, {days} days out with {cargo}, all well.",
        "The {rig} {name} came too near the Maiden rocks, {manner}; fired the gun once and she wore round.",
        "Nothing passed but the {rig} {name}, {bound}, deep with {cargo}.",
    ),
    "rig": ("brig", "schooner", "ketch", "barque", "lugger", "steamer"),
    "bound": ("inward", "outward", "to the northward", "close under the land"),
    "manner": (
        "under reefed topsails",
        "with her pumps going",
        "making heavy weather of it",
        "under all plain sail",
    ),
    "days": ("nine", "eleven", "nineteen", "twenty-six", "forty"),
    "cargo": ("salt", "slates", "timber", "coal", "herring in barrels", "china clay", "oats"),
    "night": (
        "At {evening} the fog came down and I sounded the bell every {few} minutes until {morning}.",
        "Many birds about the lantern after midnight; picked up {many} on the gallery, mostly thrushes.",
        "A heavy sea broke over the landing and took {few} planks of the bridge.",
        "Saw the light on Gannet Head plainly all night, which I have not done since {month}.",
        "Lightning to the {from} at {morning}, no thunder heard.",
    ),
    "visit": (
        "{Person} rowed over with flour, lamp glass and {few} letters.",
        "{Person} came for the day and mended the pump, and stayed to dinner.",
        "Sent {person} across with the monthly return and {few} shillings for tea.",
        "No boat could land. {Person} waved from the quay and went home again.",
        "{Person} brought news that the {rig} {name} is given up for lost.",
    ),
    "work": (
        "Washed the panes inside and out and polished {many} prisms of the lens.",
        "Painted the railing on the {from} side; the paint will not dry in this air.",
        "Mended the {broken}, and swept the stair from lantern to door.",
        "Limed the tower up to the {nth} window and counted the rockets: {many}.",
        "Dug {few} rows of potatoes in the lee of the wall. The {broken} wants looking to.",
    ),
    "broken": (
        "cistern pipe",
        "hen house",
        "signal halyard",
        "store door",
        "rain gauge",
        "hinge of the gallery door",
    ),
    "end": (
        "All in good order. So ends this day.",
        "Read a chapter and turned in at {morning}.",
        "Wrote to the Board again about the {broken}.",
        "My knee foretells snow; the glass does not.",
        "Nothing further to report.",
        "Slept badly for the noise of the sea.",
    ),
}
_SLOT = re.compile(r"\{(\w+)\}")


@cache
def training() -> tuple[str, ...]:
    """Entries that the adapter was trained on."""
    return _entries(N_TRAINING, random.Random(SEED), 0)


@cache
def held_out() -> tuple[str, ...]:
    """Entries that it has never seen."""
    return _entries(N_HELD_OUT, random.Random(SEED + 1), 1)


def _entries(count: int, noise: random.Random, names: int) -> tuple[str, ...]:
    """Entries of the log; ``names`` says whose ships and people are in them."""
    frames = _FRAMES | {"name": _SHIPS[names], "person": _PEOPLE[names]}

    def drawn(options: Sequence[str]) -> str:
        return options[int(noise.random() * len(options))]

    def filled(slot: re.Match[str]) -> str:
        name = slot[1]
        text = _SLOT.sub(filled, drawn(frames[name.lower()]))
        return text[0].upper() + text[1:] if name[0].isupper() else text

    return tuple(_SLOT.sub(filled, "{entry}") for _ in range(count))
