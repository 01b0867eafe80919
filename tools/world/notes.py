"""Notes of a few sentences, each with the one line that says what matters."""

from __future__ import annotations

from typing import NamedTuple

from tools.world.chatter import chatter
from tools.world.draw import Draw, Pair, split_pairs
from tools.world.slots import fields, filled, slots
from tools.world.surroundings import DAYS

__all__ = ["KINDS", "Note", "note"]

_WORDS = range(25, 51)
"""How many words a note has."""


class Note(NamedTuple):
    """A note and what it comes down to."""

    text: str
    summary: str
    """Who does what, and when; no sentence of the note."""
    headline: str
    """A few words that name the matter without its details."""
    fields: list[tuple[str, str]]
    """What the summary says, as labels and values."""
    pair: Pair
    """The combination: the kind of note and its day."""


class _Kind(NamedTuple):
    """Templates; of each fact one wording is taken."""

    facts: tuple[tuple[str, ...], ...]
    summary: str
    headline: str


KINDS = {
    "repair": _Kind(
        (
            (
                "The {device} {where} no longer works.",
                "Something is wrong with the {device} {where}.",
                "The {device} {where} has been making strange noises.",
            ),
            (
                "{who} has found the fault and comes with {his} tools on {day} at {hour}.",
                "On {day} at {hour} {who} has time to look after it.",
                "{who} promised to take care of it on {day} at {hour}.",
            ),
        ),
        "{who} repairs the {device} on {day} at {hour}.",
        "Trouble with the {device}",
    ),
    "delivery": _Kind(
        (
            (
                "The {thing} from {company} is finally ready.",
                "We have been waiting for {a_thing} from {company} for weeks.",
                "{company} has {a_thing} for us at last.",
            ),
            (
                "The driver comes on {day} between {hour} and {later}, and {who} will open the door.",
                "It arrives on {day} after {hour}, when only {who} is at home.",
                "A van brings it on {day}; {who} stays at home until {hour} to sign for it.",
            ),
        ),
        "{company} delivers the {thing} on {day}; {who} takes it.",
        "News from {company}",
    ),
    "meeting": _Kind(
        (
            (
                "The meeting about the {topic} was planned for {other}, but half of the team is away then.",
                "We wanted to talk about the {topic} on {other}, but no room is free.",
                "On {other} too few people have time to discuss the {topic}.",
            ),
            (
                "{who} asks everybody to come on {day} at {hour} instead, {where}.",
                "{who} would rather see all of us {where} on {day} at {hour}.",
                "The new date is {day} at {hour}, {where}, says {who}.",
            ),
        ),
        "{topic} meeting moved to {day} at {hour}.",
        "About the {topic}",
    ),
    "birthday": _Kind(
        (
            (
                "{who} turns {age} soon and everybody is invited.",
                "{who} wants to celebrate with all of us this year.",
                "It is almost time to sing for {who} again.",
            ),
            (
                "The guests come on {day} at {hour}; the tables are {where}.",
                "We start {where} on {day} as soon as it is {hour}.",
                "Be {where} on {day} at {hour}, please.",
            ),
            ("{two} has already chosen {a_thing} for {him}.", "{two} brings plates and a cake."),
        ),
        "{who}'s birthday party is on {day} {where}.",
        "Invitation from {who}",
    ),
    "doctor": _Kind(
        (
            (
                "{who} has had a sore {part} since {other}.",
                "{who} fell on {other} and now {his} {part} hurts.",
                "{who} slept badly because of {his} {part}.",
            ),
            (
                "The doctor can see {him} on {day} at {hour}, and {two} will drive.",
                "{two} got an appointment with the doctor for {him} on {day} at {hour} and goes along.",
                "{He} has an appointment on {day} at {hour}; {two} takes the car and comes too.",
            ),
        ),
        "{two} takes {who} to the doctor on {day} at {hour}.",
        "{who} is not well",
    ),
    "trip": _Kind(
        (
            (
                "{who} has to see a customer in {city}.",
                "There is a fair in {city}, and {who} is going to speak there.",
                "{who} has found a cheap ticket to {city}.",
            ),
            (
                "The train leaves on {day} at {hour}, and on {other} {he} is in the office again.",
                "{He} leaves the house on {day} at {hour} and comes home on {other}.",
                "{His} bag is packed for {day}; on {other} we will see {him} again.",
            ),
        ),
        "{who} travels to {city} on {day}, back on {other}.",
        "A ticket to {city}",
    ),
    "lunch": _Kind(
        (
            (
                "{who} and {two} have not seen each other for weeks.",
                "{who} owes {two} a meal.",
                "{who} would like to hear what {two} did in {city}.",
            ),
            (
                "They want to eat together {where} on {day} at {noon}.",
                "There is a table for the two of them {where}, on {day} at {noon}.",
                "On {day} at {noon} they sit down {where} and order something good.",
            ),
        ),
        "{who} and {two} have lunch on {day} at {noon}.",
        "Old friends",
    ),
    "shopping": _Kind(
        (
            (
                "{two} wants to cook and looked for {food} and {food2}, but the shelf was empty.",
                "We have no {food} left, and some {food2} would be useful as well, says {two}.",
                "{two} has written {food} and {food2} on the list.",
            ),
            ("We have enough {food3}.", "We still have plenty of {food3} at home.", "No more {food3}, please."),
            (
                "{who} passes the {shop} on {day} and will get both.",
                "On {day} {who} has time to go to the {shop}.",
                "{who} takes the big bag to the {shop} on {day}.",
            ),
        ),
        "{who} buys {food} and {food2} on {day}.",
        "A list from {two}",
    ),
    "invoice": _Kind(
        (
            (
                "{company} still waits for the money for the {device}: {amount} euros.",
                "The {device} from {company} has cost {amount} euros, and the invoice is still on the desk.",
                "{company} has sent a reminder about {amount} euros for the {device}.",
            ),
            (
                "{who} will transfer the sum on {day} at the latest.",
                "{who} promised to settle this by {day}.",
                "Accounts has told {who} that everything must be done by {day}.",
            ),
        ),
        "{who} pays {company} {amount} euros by {day}.",
        "A letter from {company}",
    ),
    "pet": _Kind(
        (
            (
                "{two} is going to {city} and cannot take the {pet} along.",
                "While {two} is in {city}, the {pet} stays alone.",
                "{two}'s {pet} does not like the train to {city}.",
            ),
            (
                "{who} has the key and comes every evening from {day} to {other}.",
                "From {day} to {other} {who} fills the bowl twice a day.",
                "{who} lives next door and has time from {day} to {other}.",
            ),
        ),
        "{who} feeds {two}'s {pet} from {day} to {other}.",
        "Who likes a {pet}?",
    ),
    "school": _Kind(
        (
            (
                "{who} must leave {gate} early on {day}, already at {noon}.",
                "On {day} at {noon} {who} will be waiting at {gate}.",
                "{gate} closes at {noon} on {day}, and {who} cannot go home alone.",
            ),
            (
                "{two} sits in a meeting then, so {three} will stand at the gate.",
                "{two} has no time, but {three} will be there with the car.",
                "Because {two} is ill, {three} has offered to go.",
            ),
        ),
        "{three} picks up {who} from {gate} on {day}.",
        "{who} needs a ride",
    ),
    "found": _Kind(
        (
            (
                "Somebody left {a_thing} {where} on {day}.",
                "On {day} {a_thing} was lying {where} all day.",
                "After the meeting {where} on {day}, one {thing} was left on a chair.",
            ),
            (
                "{who} has put it into {his} drawer until the owner asks for it.",
                "It is now with {who}, who would like to give it back.",
                "Whoever misses it can ask {who}.",
            ),
        ),
        "{who} has the {thing} lost on {day}.",
        "Whose {thing} is it?",
    ),
    "rain": _Kind(
        (
            (
                "The {gathering} on {day} was planned for the {outside}, but the forecast promises {weather}.",
                "Too much {weather} is expected for {day}, so the {outside} is no place for the {gathering}.",
                "Because of the {weather}, the {outside} will be closed on {day}, also for the {gathering}.",
            ),
            (
                "{who} has reserved the {inside} for the same hour.",
                "{who} says that everybody fits into the {inside}.",
                "{who} has the key of the {inside} and will open it.",
            ),
        ),
        "{gathering} on {day} moves to the {inside}.",
        "About the {gathering}",
    ),
    "shift": _Kind(
        (
            (
                "{two} has a fever and stays in bed.",
                "{two} has to look after a sick child.",
                "{two} was called to court as a witness.",
            ),
            (
                "So {who} takes over the {desk} on {day}, although {he} had the day off.",
                "Somebody must do the {desk} on {day}, and {who} has agreed.",
                "{who} will be at the {desk} on {day} instead.",
            ),
        ),
        "{who} replaces {two} at the {desk} on {day}.",
        "{two} is absent",
    ),
}
"""The kinds of note."""

_PAIRS = split_pairs((f"{kind} note", day) for kind in KINDS for day in DAYS)


def note(draw: Draw) -> Note:
    """Return a note of 25 to 50 words: the facts in order, with other things before and after them."""
    pair = draw.pair(_PAIRS)
    kind = KINDS[pair[0].removesuffix(" note")]
    while True:
        words = slots(draw, pair[1])
        facts = [filled(draw.pick(wordings), words) for wordings in kind.facts]
        asides = [chatter(draw) for _ in range(draw.number(1, 4))]
        cut = draw.number(0, len(asides))
        text = " ".join([*asides[:cut], *facts, *asides[cut:]])
        if len(set(asides)) == len(asides) and len(text.split()) in _WORDS:
            return Note(
                text=text,
                summary=filled(kind.summary, words),
                headline=filled(kind.headline, words),
                fields=fields(kind.summary, words),
                pair=pair,
            )
