"""Nouns and adjectives, each with its English and its German forms."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ADJECTIVES", "NOUNS", "Adjective", "Noun", "rows", "words"]


class Noun(NamedTuple):
    """A countable noun in both languages."""

    en: str
    en_plural: str
    de: str
    gender: str
    """``m``, ``f`` or ``n``."""
    de_plural: str
    kinds: frozenset[str]
    """What sort of thing it is; verbs and adjectives ask for sorts."""


class Adjective(NamedTuple):
    """An adjective in both languages."""

    en: str
    de: str
    kinds: frozenset[str]


def rows(table: str) -> list[list[str]]:
    """Split a table into its lines, and the lines at their commas."""
    return [[cell.strip() for cell in line.split(",")] for line in table.strip().splitlines()]


def words(text: str) -> list[str]:
    """Split a text at its blanks."""
    return text.split()


def _plural(en: str) -> str:
    if en.endswith(("s", "x", "ch", "sh")):
        return en + "es"
    if en.endswith("y") and en[-2] not in "aeiou":
        return en[:-1] + "ies"
    return en + "s"


def _noun(cells: list[str]) -> Noun:
    en, _, plural = cells[0].partition("/")
    return Noun(en, plural or _plural(en), cells[1], cells[2], cells[3], frozenset(cells[4].split()))


NOUNS = [
    _noun(cells)
    for cells in rows("""
        printer, Drucker, m, Drucker, thing device
        computer, Computer, m, Computer, thing device
        washing machine, Waschmaschine, f, Waschmaschinen, thing device
        dishwasher, Geschirrspüler, m, Geschirrspüler, thing device
        heater, Heizgerät, n, Heizgeräte, thing device
        lamp, Lampe, f, Lampen, thing device
        phone, Telefon, n, Telefone, thing device
        projector, Projektor, m, Projektoren, thing device
        coffee machine, Kaffeemaschine, f, Kaffeemaschinen, thing device
        camera, Kamera, f, Kameras, thing device
        clock, Uhr, f, Uhren, thing device
        radio, Radio, n, Radios, thing device
        fridge, Kühlschrank, m, Kühlschränke, thing device
        vacuum cleaner, Staubsauger, m, Staubsauger, thing device
        drill, Bohrmaschine, f, Bohrmaschinen, thing device
        screen, Bildschirm, m, Bildschirme, thing device
        oven, Backofen, m, Backöfen, thing device
        lawn mower, Rasenmäher, m, Rasenmäher, thing device
        table, Tisch, m, Tische, thing wood
        chair, Stuhl, m, Stühle, thing wood
        shelf/shelves, Regal, n, Regale, thing wood
        cupboard, Schrank, m, Schränke, thing wood opening
        desk, Schreibtisch, m, Schreibtische, thing wood
        bed, Bett, n, Betten, thing wood
        door, Tür, f, Türen, wood opening
        window, Fenster, n, Fenster, opening
        ladder, Leiter, f, Leitern, thing wood
        drawer, Schublade, f, Schubladen, opening
        curtain, Vorhang, m, Vorhänge, fabric
        carpet, Teppich, m, Teppiche, thing fabric
        blanket, Decke, f, Decken, item fabric
        pillow, Kissen, n, Kissen, item fabric
        coat, Mantel, m, Mäntel, item fabric
        jacket, Jacke, f, Jacken, item fabric
        shirt, Hemd, n, Hemden, item fabric
        dress, Kleid, n, Kleider, item fabric
        car, Auto, n, Autos, vehicle
        bicycle, Fahrrad, n, Fahrräder, vehicle
        van, Lieferwagen, m, Lieferwagen, vehicle
        motorcycle, Motorrad, n, Motorräder, vehicle
        boat, Boot, n, Boote, vehicle
        trailer, Anhänger, m, Anhänger, vehicle
        letter, Brief, m, Briefe, text
        report, Bericht, m, Berichte, text
        recipe, Rezept, n, Rezepte, text
        list, Liste, f, Listen, text
        postcard, Postkarte, f, Postkarten, text
        article, Artikel, m, Artikel, text
        book, Buch, n, Bücher, text item
        newspaper, Zeitung, f, Zeitungen, text
        contract, Vertrag, m, Verträge, text legal
        form, Formular, n, Formulare, text legal
        invoice, Rechnung, f, Rechnungen, text legal
        offer, Angebot, n, Angebote, text legal
        key, Schlüssel, m, Schlüssel, item
        parcel, Paket, n, Pakete, item box
        bag, Tasche, f, Taschen, item box
        suitcase, Koffer, m, Koffer, item box
        umbrella, Regenschirm, m, Regenschirme, item
        gift, Geschenk, n, Geschenke, item box
        ball, Ball, m, Bälle, item
        basket, Korb, m, Körbe, item
        box, Kiste, f, Kisten, item box
        bottle, Flasche, f, Flaschen, item box
        cup, Tasse, f, Tassen, item
        plate, Teller, m, Teller, item
        pan, Pfanne, f, Pfannen, item
        knife/knives, Messer, n, Messer, item
        bucket, Eimer, m, Eimer, item
        hammer, Hammer, m, Hämmer, item
        helmet, Helm, m, Helme, item
        ticket, Fahrkarte, f, Fahrkarten, item
        map, Landkarte, f, Landkarten, item
        photo, Foto, n, Fotos, item
        doll, Puppe, f, Puppen, item
        guitar, Gitarre, f, Gitarren, item
        cake, Kuchen, m, Kuchen, food baked
        pizza, Pizza, f, Pizzas, food baked
        bread roll, Brötchen, n, Brötchen, food baked
        soup, Suppe, f, Suppen, food cooked
        egg, Ei, n, Eier, food cooked
        potato/potatoes, Kartoffel, f, Kartoffeln, food cooked
        salad, Salat, m, Salate, food
        sandwich, Sandwich, n, Sandwiches, food
        apple, Apfel, m, Äpfel, food
        tomato/tomatoes, Tomate, f, Tomaten, food
        dog, Hund, m, Hunde, animal
        cat, Katze, f, Katzen, animal
        hamster, Hamster, m, Hamster, animal
        rabbit, Kaninchen, n, Kaninchen, animal
        bird, Vogel, m, Vögel, animal
        horse, Pferd, n, Pferde, animal
        hen, Huhn, n, Hühner, animal
        neighbor, Nachbar, m, Nachbarn, person role
        colleague, Kollege, m, Kollegen, person role
        customer, Kunde, m, Kunden, person role
        doctor, Arzt, m, Ärzte, person role
        teacher, Lehrer, m, Lehrer, person role
        manager, Chefin, f, Chefinnen, person role
        plumber, Klempner, m, Klempner, person role
        electrician, Elektriker, m, Elektriker, person role
        gardener, Gärtner, m, Gärtner, person role
        guest, Gast, m, Gäste, person role
        mother, Mutter, f, Mütter, person kin
        father, Vater, m, Väter, person kin
        sister, Schwester, f, Schwestern, person kin
        brother, Bruder, m, Brüder, person kin
        aunt, Tante, f, Tanten, person kin
        uncle, Onkel, m, Onkel, person kin
        daughter, Tochter, f, Töchter, person kin
        son, Sohn, m, Söhne, person kin
        grandmother, Großmutter, f, Großmütter, person kin
        grandfather, Großvater, m, Großväter, person kin
        child/children, Kind, n, Kinder, person kin
        friend, Freund, m, Freunde, person kin
    """)
]

ADJECTIVES = [
    Adjective(en, de, frozenset(kinds.split()))
    for en, de, kinds in rows("""
        old, alt, thing vehicle item text fabric opening animal
        new, neu, thing vehicle item text fabric opening
        small, klein, thing vehicle item opening animal food fabric
        big, groß, thing vehicle item opening animal food
        red, rot, wood vehicle item fabric
        green, grün, wood vehicle item fabric
        blue, blau, wood vehicle item fabric
        yellow, gelb, wood vehicle item fabric
        white, weiß, wood device animal fabric
        black, schwarz, vehicle device animal fabric
        brown, braun, wood animal
        heavy, schwer, wood box device
        cheap, billig, device vehicle fabric
        expensive, teuer, device vehicle fabric
        dirty, schmutzig, vehicle fabric opening
        beautiful, schön, wood item fabric
        long, lang, text
        short, kurz, text
        important, wichtig, text
        fresh, frisch, food
        warm, warm, food
        cold, kalt, food
        broken, kaputt, device vehicle wood opening
        quiet, leise, device animal
        loud, laut, device animal
        empty, leer, box
        full, voll, box
        wet, nass, fabric
        friendly, freundlich, role animal
        tired, müde, person animal
        ill, krank, person animal
        hungry, hungrig, person animal
        punctual, pünktlich, role
    """)
]
