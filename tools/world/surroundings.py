"""Who, where and when: names, places, days and hours, in English and German."""

from __future__ import annotations

from typing import NamedTuple

from tools.world.lexicon import rows, words

__all__ = [
    "CITIES", "COMPANIES", "DAYS", "FEMALE", "FUTURE", "HOURS", "MALE", "MONTHS", "NAMES", "PAST", "PLACES",
    "SURNAMES", "Phrase", "Place",
]  # fmt: skip


class Phrase(NamedTuple):
    """The same words in both languages."""

    en: str
    de: str


class Place(NamedTuple):
    """A place, and the prepositions for being there and for going there."""

    en: str
    en_at: str
    de: str
    gender: str
    de_at: str
    """Takes the dative."""
    de_to: str
    """Takes the dative if it is ``zu``, else the accusative."""


FEMALE = words("""
    Anna Maria Eva Clara Julia Laura Sophie Emma Lena Nora Ida Helen Alice Ruth Martha Olga Vera Paula Greta
    Lucy Sarah Rosa Nina Elsa Hannah Irene Karin Monika Petra Silke Tina Ulla Birgit Doris Frieda Heike Katja
    Marion Sabine Wanda
""")
MALE = words("""
    Paul Tom Max Leo Felix David Jonas Oscar Simon Victor Ben Emil Hugo Karl Martin Peter Robert Stefan Thomas
    Walter Adam Bruno Erik Frank Georg Henry Ivan Jakob Kurt Lukas Moritz Nils Otto Philip Ralf Samuel Tim Udo
    Werner Anton
""")
NAMES = sorted(FEMALE + MALE)

SURNAMES = words("""
    Klein Becker Wagner Fischer Weber Hoffmann Schulz Koch Richter Wolf Neumann Braun Krause Lehmann Vogel
    Keller Frank Berger Winkler Lorenz Baumann Albrecht Winter Sommer Brandt Busch Kramer Ziegler Hartmann
    Seidel Pohl Engel Horn Bishop Carter Davies Foster Graham Harris Jenkins Lawson Mason Norris Parker Reynolds
    Spencer Turner Walsh Young
""")
COMPANIES = words("""
    Norden Alba Kestrel Lindner Rosewood Hafen Brightway Falke Orbit Mühlbach Steinweg Copperfield Delta Aurora
    Birkenhof Cartwright Eichental Fairfax Greenhill Hollander
""")

PLACES = [
    Place(*cells)
    for cells in rows("""
        office, at, Büro, n, in, in
        kitchen, in, Küche, f, in, in
        garden, in, Garten, m, in, in
        garage, in, Garage, f, in, in
        cellar, in, Keller, m, in, in
        bathroom, in, Badezimmer, n, in, in
        living room, in, Wohnzimmer, n, in, in
        meeting room, in, Besprechungsraum, m, in, in
        canteen, in, Kantine, f, in, in
        warehouse, in, Lager, n, in, in
        workshop, in, Werkstatt, f, in, in
        attic, in, Dachboden, m, auf, auf
        balcony, on, Balkon, m, auf, auf
        station, at, Bahnhof, m, an, zu
        airport, at, Flughafen, m, an, zu
        bus stop, at, Bushaltestelle, f, an, zu
        lake, at, See, m, an, an
        market, at, Markt, m, auf, auf
        playground, on, Spielplatz, m, auf, auf
        school, at, Schule, f, in, in
        supermarket, at, Supermarkt, m, in, in
        library, in, Bibliothek, f, in, in
        pharmacy, at, Apotheke, f, in, in
        hospital, in, Krankenhaus, n, in, in
        hotel, at, Hotel, n, in, in
        café, at, Café, n, in, in
        restaurant, at, Restaurant, n, in, in
        park, in, Park, m, in, in
        town hall, at, Rathaus, n, in, zu
        museum, at, Museum, n, in, in
        bakery, at, Bäckerei, f, in, zu
        cinema, at, Kino, n, in, in
        theater, at, Theater, n, in, in
        swimming pool, at, Schwimmbad, n, in, in
        castle, at, Schloss, n, in, zu
    """)
]
CITIES = [
    Phrase(en, de)
    for en, de in rows("""
        Berlin, Berlin
        Hamburg, Hamburg
        Munich, München
        Cologne, Köln
        Vienna, Wien
        Zurich, Zürich
        Geneva, Genf
        Prague, Prag
        Rome, Rom
        Milan, Mailand
        Paris, Paris
        Brussels, Brüssel
        London, London
        Lisbon, Lissabon
        Warsaw, Warschau
        Copenhagen, Kopenhagen
        Leipzig, Leipzig
        Dresden, Dresden
        Bremen, Bremen
        Athens, Athen
    """)
]

_DAYS = {
    "Monday": "Montag",
    "Tuesday": "Dienstag",
    "Wednesday": "Mittwoch",
    "Thursday": "Donnerstag",
    "Friday": "Freitag",
    "Saturday": "Samstag",
    "Sunday": "Sonntag",
}
DAYS = tuple(_DAYS)
HOURS = ("eight", "nine", "ten", "eleven", "twelve", "one", "two", "three", "four", "five", "six", "seven")
_HOURS_DE = ("acht", "neun", "zehn", "elf", "zwölf", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben")
_PARTS = {"morning": "morgen", "afternoon": "nachmittag", "evening": "abend"}
MONTHS = [
    Phrase(en, de)
    for en, de in rows("""
        January, Januar
        February, Februar
        March, März
        April, April
        May, Mai
        June, Juni
        July, Juli
        August, August
        September, September
        October, Oktober
        November, November
        December, Dezember
    """)
]

FUTURE = [
    Phrase("today", "heute"),
    Phrase("tomorrow", "morgen"),
    Phrase("tomorrow evening", "morgen Abend"),
    Phrase("tomorrow afternoon", "morgen Nachmittag"),
    Phrase("this evening", "heute Abend"),
    Phrase("this afternoon", "heute Nachmittag"),
    Phrase("next week", "nächste Woche"),
    Phrase("next month", "nächsten Monat"),
    Phrase("next year", "nächstes Jahr"),
    Phrase("the day after tomorrow", "übermorgen"),
    *(Phrase(f"on {en}", f"am {de}") for en, de in _DAYS.items()),
    *(Phrase(f"next {en}", f"nächsten {de}") for en, de in _DAYS.items()),
    *(Phrase(f"on {en} {e}", f"am {de}{d}") for en, de in _DAYS.items() for e, d in _PARTS.items()),
    *(Phrase(f"at {e} o'clock", f"um {d} Uhr") for e, d in zip(HOURS, _HOURS_DE, strict=True)),
    *(Phrase(f"in {en}", f"im {de}") for en, de in MONTHS),
]
PAST = [
    Phrase("yesterday", "gestern"),
    Phrase("yesterday evening", "gestern Abend"),
    Phrase("the day before yesterday", "vorgestern"),
    Phrase("last week", "letzte Woche"),
    Phrase("last month", "letzten Monat"),
    Phrase("last year", "letztes Jahr"),
    Phrase("this morning", "heute Morgen"),
    *(Phrase(f"last {en}", f"letzten {de}") for en, de in _DAYS.items()),
    *(Phrase(f"{e} days ago", f"vor {d} Tagen") for e, d in (("two", "zwei"), ("three", "drei"), ("four", "vier"))),
    *(Phrase(f"{e} weeks ago", f"vor {d} Wochen") for e, d in (("two", "zwei"), ("three", "drei"), ("five", "fünf"))),
]
