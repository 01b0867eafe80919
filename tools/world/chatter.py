"""Sentences that say something true but beside the point, so that a summary has to select."""

from __future__ import annotations

from tools.world.draw import Draw
from tools.world.slots import filled, slots

__all__ = ["chatter"]

_SENTENCES = (
    "It has been raining since the morning.",
    "The sun is shining at last.",
    "There was fog over {city} until {hour}.",
    "They say that it will snow on {day}.",
    "The wind was so strong that nobody went out.",
    "The {weather} on {day} was hard to bear.",
    "A storm passed over {city} on {day}.",
    "{who} sends greetings from {city}.",
    "{who} was at the dentist on {day}.",
    "{who} and {two} talked {where} until {hour}.",
    "{who} has a new haircut.",
    "{who} is learning to swim.",
    "{who} came back from {city} on {day}.",
    "Nobody knows where {two} was on {day}.",
    "{who} is still looking for a flat in {city}.",
    "{who} had breakfast with {two} {where}.",
    "{two} has the day off on {day}.",
    "{who} likes working late.",
    "{who} told us about {his} trip to {city}.",
    "Nobody knows where the old {thing} is.",
    "The new {device} is much quieter.",
    "Somebody left some {food} {where}.",
    "{who} got {a_thing} on {day}.",
    "The {thing} {where} belongs to {who}.",
    "The {device} {where} works again.",
    "The door {where} is hard to open.",
    "Please put the {thing} back {where}.",
    "On {day} somebody took the {thing} by mistake.",
    "On {day} there is soup in the canteen.",
    "The bus was late again this morning.",
    "The neighbors have a {pet} now.",
    "The road to {city} is closed until {month}.",
    "{company} has a new catalog.",
    "The lights {where} were on all night.",
    "The coffee tasted better than usual.",
    "A {pet} ran through the garden at {hour}.",
    "{company} is moving to {city} in {month}.",
    "The photos of {month} are very nice.",
    "{who} will tell us more in {month}.",
    "Somebody is painting the stairs.",
    "The elevator is slow today.",
    "There are too many boxes {where}.",
    "{who} cannot stand the smell of {food}.",
    "{two} knows everything about {city}.",
    "We hear music from {two}'s room.",
    "The team of {company} won again.",
)


def chatter(draw: Draw) -> str:
    """Return one sentence about something else."""
    return filled(draw.pick(_SENTENCES), slots(draw))
