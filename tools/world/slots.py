"""The blanks of English templates, filled at random: who, what, where, when."""

from __future__ import annotations

from collections.abc import Iterable
from string import Formatter

from tools.world.draw import Draw, held_out
from tools.world.english import article, capital
from tools.world.lexicon import NOUNS, words
from tools.world.surroundings import CITIES, COMPANIES, DAYS, FEMALE, HOURS, MALE, MONTHS, PLACES, SURNAMES

__all__ = ["DEVICES", "FOODS", "ITEMS", "TOPICS", "fields", "filled", "next_day", "slots"]


_SINGULAR = {noun.en_plural: noun.en for noun in NOUNS}


def _doable(verb: str, names: Iterable[str]) -> tuple[str, ...]:
    """Leave out the things that are held out with a verb that the templates use."""
    return tuple(name for name in names if not held_out((verb, _SINGULAR.get(name, name))))


DEVICES = _doable("repair", (noun.en for noun in NOUNS if "device" in noun.kinds))
ITEMS = tuple(noun.en for noun in NOUNS if "item" in noun.kinds and noun.en not in ("ticket", "map"))
_FOODS = words("""
    milk butter bread cheese rice tea coffee sugar salt honey flour fish juice eggs apples tomatoes potatoes onions
    carrots lemons candles napkins soap batteries mustard pepper noodles beans cucumbers plums pears
""")
FOODS = _doable("buy", _doable("bring", _FOODS))
"""What shopping lists name."""
TOPICS = (
    "budget", "website", "contract", "summer party", "new office", "survey", "catalog", "training", "audit", "schedule",
    "move", "price list", "project", "annual report", "parking", "holiday plan",
)  # fmt: skip

_PETS = _doable("feed", (noun.en for noun in NOUNS if "animal" in noun.kinds))
_WORDS = {
    "part": ("tooth", "back", "knee", "ear", "foot", "arm", "hand", "neck"),
    "shop": ("supermarket", "market", "bakery", "station", "pharmacy"),
    "gathering": ("picnic", "concert", "flea market", "tournament", "barbecue", "reading"),
    "outside": ("garden", "park", "courtyard", "playground"),
    "inside": ("canteen", "school", "library", "museum", "garage"),
    "weather": ("rain", "wind", "snow", "heat", "fog"),
    "desk": ("front desk", "warehouse", "phone", "kitchen", "workshop", "shop"),
    "gate": ("school", "the playground", "the pool", "the library"),
    "noon": ("eleven", "twelve", "one", "two", "three"),
    "paper": _doable("send", ("contract", "form", "offer", "report", "price list", "plan")),
    "dish": _doable("bring", ("salad", "cake", "soup", "pizza", "pie")),
    "chore": ("the delivery", "the front desk", "the training", "the phone", "the inventory", "the tour"),
    "help": ("with the move", "in the garden", "with the forms", "at the airport", "with the party", "in the cellar"),
    "hiding": ("under the mat", "in the letter box", "behind the lamp", "with the neighbor", "in the blue pot"),
    "trait": ("nuts", "meat", "fish", "milk", "onions", "eggs"),
}

_LABELS = {
    "two": "person", "three": "helper", "device": "thing", "other": "other day", "noon": "hour", "later": "other hour",
    "food": "first", "food2": "second", "food3": "not", "gate": "place", "where": "place", "inside": "place",
    "desk": "place",
}  # fmt: skip
"""What a blank is called in `fields`, where it is not by its own name."""


def next_day(day: str, by: int = 1) -> str:
    """Return the day some days after (or, with a minus, before) a day of the week."""
    return DAYS[(DAYS.index(day) + by) % len(DAYS)]


def slots(draw: Draw, day: str = "") -> dict[str, str]:
    """Fill every blank once; people, days and foods with different names are different.

    Args:
        draw: The choices.
        day: The main day, or empty for any.
    """
    day = day or draw.pick(DAYS)
    who, two, three = draw.some(FEMALE + MALE, 3)
    he, him, his = ("she", "her", "her") if who in FEMALE else ("he", "him", "his")
    hour, spot = draw.pick(HOURS), draw.pick(PLACES)
    other = draw.pick([name for name in DAYS if name != day])
    food, food2, food3 = draw.some(FOODS, 3)
    device, thing = draw.pick(DEVICES), draw.pick(ITEMS)
    drawn = {name: draw.pick(choices) for name, choices in _WORDS.items()}
    return drawn | {
        "day": day, "other": other, "month": draw.pick(MONTHS).en,
        "who": who, "two": two, "three": three, "he": he, "him": him, "his": his,
        "He": capital(he), "His": capital(his),
        "surname": draw.pick(SURNAMES), "company": draw.pick(COMPANIES), "city": draw.pick(CITIES).en,
        "hour": hour, "later": HOURS[(HOURS.index(hour) + draw.number(1, 2)) % len(HOURS)],
        "where": f"{spot.en_at} the {spot.en}", "food": food, "food2": food2, "food3": food3,
        "device": device, "a_device": article(device), "thing": thing, "a_thing": article(thing),
        "pet": draw.pick(_PETS), "topic": draw.pick(TOPICS), "amount": str(draw.number(4, 98) * 10),
        "age": str(draw.number(5, 80)),
    }  # fmt: skip


def fields(template: str, words: dict[str, str]) -> list[tuple[str, str]]:
    """Return what a template says as labels and values, in its order and once each.

    >>> fields("{who} pays {amount} euros to {who}", {"who": "Eva", "amount": "40"})
    [('who', 'Eva'), ('amount', '40')]
    """
    names = dict.fromkeys(name for _, name, _, _ in Formatter().parse(template) if name)
    return [(_LABELS.get(name, name), words[name]) for name in names]


def filled(template: str, words: dict[str, str]) -> str:
    """Fill a template, its first letter a capital.

    >>> filled("{thing} for {who}.", {"thing": "tea", "who": "Eva"})
    'Tea for Eva.'
    """
    return capital(template.format_map(words))
