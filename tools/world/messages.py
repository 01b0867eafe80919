"""Messages with a request in them, each with the one reply that fits."""

from __future__ import annotations

from typing import NamedTuple

from tools.world.draw import Draw, Pair, split_pairs
from tools.world.manners import manner
from tools.world.slots import fields, filled, next_day, slots
from tools.world.surroundings import DAYS

__all__ = ["KINDS", "Message", "message"]

_SOURCE_WORDS = range(15, 36)
_REPLY_WORDS = range(8, 19)


class Message(NamedTuple):
    """A message, its parts, and its reply."""

    sender: str
    receiver: str
    subject: str
    opening: str
    body: str
    closing: str
    reply: str
    """The reply with its greeting; a function of the message alone."""
    brief: str
    """A shorter answer in other words, as friends write it."""
    fields: list[tuple[str, str]]
    """Who wrote and what the body says, as labels and values."""
    pair: Pair
    """The combination: the kind of message and its day."""

    @property
    def text(self) -> str:
        """The message on one line."""
        return f"{self.opening} {self.body} {self.closing}"


class _Kind(NamedTuple):
    """Templates; of each part of the body one wording is taken."""

    subject: str
    body: tuple[tuple[str, ...], ...]
    reply: str
    brief: str


KINDS = {
    "first date": _Kind(
        "{topic}",
        (
            (
                "could we talk about the {topic} on {day} at {hour}, or on {other} at {later}?",
                "I would like to discuss the {topic} with you, on {day} at {hour} or on {other} at {later}.",
            ),
            (
                "The first date would suit me better.",
                "I would prefer the first date.",
                "The first one is easier for me.",
            ),
        ),
        "{day} at {hour} is fine. We can talk about the {topic} then.",
        "See you on {day}",
    ),
    "second date": _Kind(
        "{topic}",
        (
            (
                "could we talk about the {topic} on {other} at {later}, or on {day} at {hour}?",
                "I would like to discuss the {topic} with you, on {other} at {later} or on {day} at {hour}.",
            ),
            (
                "The second date would suit me better.",
                "I would prefer the second date.",
                "The second one is easier for me.",
            ),
        ),
        "{day} at {hour} is fine. We can talk about the {topic} then.",
        "See you on {day}",
    ),
    "away": _Kind(
        "A date for us",
        (
            ("do you have time for me on {other} or on {day}?", "shall we meet on {other} or rather on {day}?"),
            ("On {other} I am in {city}.", "I will be in {city} on {other}.", "On {other} I must go to {city}."),
        ),
        "then let us meet on {day}. Have a good trip to {city}!",
        "{day} then",
    ),
    "late": _Kind(
        "Late on {day}",
        (
            ("my train on {day} does not arrive in time.", "the road will be closed on {day}."),
            (
                "I will be {where} at {later}, not at {hour}.",
                "Instead of {hour} it will be {later} before I am {where}.",
            ),
        ),
        "no problem. On {day} we will wait for you {where} until {later}.",
        "Take your time",
    ),
    "borrow": _Kind(
        "Your {device}",
        (
            ("may I have your {device} on {day}?", "I am looking for {a_device} for {day}. May I have yours?"),
            (
                "You would have it back on {other}.",
                "I could return it on {other}.",
                "On {other} I would bring it back.",
            ),
        ),
        "{yes}. Take the {device} on {day} and bring it back on {other}.",
        "It is in the garage",
    ),
    "groceries": _Kind(
        "Dinner on {day}",
        (
            ("I am cooking for all of us on {day}.", "on {day} we will have dinner at my place."),
            ("Could you bring {food} and {food2}?", "We still need {food} and {food2}."),
            ("There is enough {food3}.", "I already have {food3}."),
        ),
        "I will bring {food} and {food2} on {day}, but no {food3}.",
        "I will go to the shop",
    ),
    "ill": _Kind(
        "Not well",
        (
            ("I have a sore {part} and must stay in bed.", "my {part} hurts and I cannot leave the house."),
            ("Could you take over {chore} on {day}?", "Who could do {chore} on {day}? Perhaps you?"),
        ),
        "get well soon! I will take over {chore} on {day}.",
        "Stay in bed",
    ),
    "invitation": _Kind(
        "Come to my party",
        (
            ("my party starts on {day} at {hour}, {where}.", "I am having a party {where} on {day}, from {hour} on."),
            ("A {dish} would be great.", "Everybody brings something; we still need a {dish}."),
        ),
        "thank you for the invitation. I will bring a {dish} on {day} at {hour}.",
        "I will be there",
    ),
    "payment": _Kind(
        "Reminder",
        (
            (
                "we have not received the {amount} euros for the {device} yet.",
                "the invoice for the {device}, {amount} euros, has not been paid.",
            ),
            ("Please pay by {day}.", "We expect the money by {day}.", "Could you see to it before {day} is over?"),
        ),
        "sorry for the delay. We will transfer the {amount} euros for the {device} by {day}.",
        "It is on its way",
    ),
    "repair": _Kind(
        "The {device} is broken",
        (
            ("the {device} {where} does not work.", "there is a problem with the {device} {where}."),
            ("We need it on {day}.", "It has to run on {day}.", "Without it we cannot work on {day}."),
        ),
        "sorry to hear that. We will repair the {device} on {before}, one day earlier.",
        "Somebody will come",
    ),
    "lunch": _Kind(
        "Lunch",
        (
            (
                "I cannot come to lunch on {other} because I am in {city}.",
                "our lunch on {other} is not possible for me.",
            ),
            ("Would {day} at {noon} be all right?", "What about {day} at {noon}?", "Could we say {day} at {noon}?"),
        ),
        "no problem. Let us have lunch on {day} at {noon} instead.",
        "Fine, enjoy your week",
    ),
    "pet": _Kind(
        "My {pet}",
        (
            ("I will be in {city} from {day} to {other}.", "from {day} to {other} I am on a visit to {city}."),
            ("Could you feed my {pet}?", "Somebody has to look after the {pet}."),
            ("The key is {hiding}.", "You will find the key {hiding}."),
        ),
        "{yes}. I will feed the {pet} from {day} to {other}. Enjoy {city}!",
        "I like animals",
    ),
    "thanks": _Kind(
        "Thank you",
        (
            ("thank you for helping me {help} on {day}.", "it was kind of you to help me {help} on {day}."),
            (
                "Without you I would have needed until {hour}.",
                "I could not have done it alone.",
                "It was a lot of work.",
            ),
        ),
        "you are welcome. I was glad to help you {help} on {day}.",
        "Any time",
    ),
    "arrival": _Kind(
        "My train on {day}",
        (
            ("my train from {city} arrives on {day} at {hour}.", "I come back from {city} on {day} at {hour}."),
            ("Can you pick me up?", "Could somebody meet me at the station?"),
            ("I have only a small bag.", "I have got a lot of books with me.", "It has been a long time."),
        ),
        "{yes}. I will be at the station on {day} at {hour}.",
        "Looking forward to it",
    ),
    "document": _Kind(
        "The {paper}",
        (
            (
                "we still need the signed {paper}.",
                "the {paper} is not here yet.",
                "where is the {paper} that you promised?",
            ),
            ("Please send it to our office in {city} by {day}.", "It has to be in {city} by {day}."),
        ),
        "I will send the {paper} to {city}, so that you have it by {day}.",
        "It is in the mail",
    ),
    "collect": _Kind(
        "My {device}",
        (
            ("is my {device} ready?", "has the {device} that I left with you been repaired?"),
            (
                "I would like to pick it up on {day}.",
                "On {day} I could come to the shop.",
                "May I come on {day} to get it?",
            ),
        ),
        "{collect}",
        "It is ready",
    ),
    "diet": _Kind(
        "Dinner",
        (
            ("I am looking forward to dinner on {day}.", "thank you for asking me to dinner on {day}."),
            ("Please remember that I do not eat {trait}.", "There is one thing: I cannot eat {trait}."),
        ),
        "thank you for telling me. On {day} I will cook without {trait}.",
        "Good to know",
    ),
    "lost": _Kind(
        "My {thing}",
        (
            ("did I leave my {thing} {where} on {day}?", "I was {where} on {day}, and now my {thing} is missing."),
            ("I have looked for it everywhere.", "Perhaps you have seen it.", "It is not at home."),
        ),
        "yes, you left your {thing} {where}. I have kept it since {day}.",
        "I have seen it",
    ),
}
"""The kinds of message."""

_PAIRS = split_pairs((f"{kind} message", day) for kind in KINDS for day in DAYS)
_WEEKEND = ("Saturday", "Sunday")


def _rules(words: dict[str, str]) -> dict[str, str]:
    """Add what follows from the day: how to say yes, the day before, and when the shop is open."""
    weekend = words["day"] in _WEEKEND
    collect = (
        "we are closed on {day}. Please come on Monday to get your {device}."
        if weekend
        else "your {device} is ready. You can pick it up on {day}."
    )
    return words | {
        "yes": "with pleasure" if weekend else "of course",
        "before": next_day(words["day"], -1),
        "collect": collect.format_map(words),
    }


def message(draw: Draw) -> Message:
    """Return a message of 15 to 35 words with a reply of 8 to 18."""
    pair = draw.pair(_PAIRS)
    kind = KINDS[pair[0].removesuffix(" message")]
    while True:
        words = _rules(slots(draw, pair[1]))
        frame = manner(draw, words)
        body = " ".join(draw.pick(wordings) for wordings in kind.body)
        made = Message(
            sender=words["who"],
            receiver=words["two"],
            subject=filled(kind.subject, words),
            opening=frame.opening,
            body=body.format_map(words),
            closing=frame.closing,
            reply=f"{frame.answer} {kind.reply.format_map(words)}",
            brief=filled(kind.brief, words),
            fields=[("from", words["who"]), *fields(body, words)],
            pair=pair,
        )
        if len(made.text.split()) in _SOURCE_WORDS and len(made.reply.split()) in _REPLY_WORDS:
            return made
