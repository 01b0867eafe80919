"""Verbs, each with its English and its German forms and with what may follow it."""

from __future__ import annotations

from typing import NamedTuple

from tools.world.lexicon import rows

__all__ = ["GIFTS", "MOTIONS", "VERBS", "Verb"]


class Verb(NamedTuple):
    """A verb in both languages."""

    en: str
    en_past: str
    de: str
    """The infinitive; a separable prefix ends in ``|``."""
    er: str
    """Third person singular, present, without the separable prefix."""
    participle: str
    kinds: frozenset[str]
    """The sorts of things that it can be done to, and flags in capitals.

    ``DAT``: the object is a dative. ``PAST``: told as something past alone. ``STATIVE``: no English
    continuous form. ``SEIN``: German perfect with *sein*. ``TO``: a direction follows, not a location.
    """


def _verbs(table: str) -> list[Verb]:
    return [Verb(en, past, de, er, part, frozenset(kinds.split())) for en, past, de, er, part, kinds in rows(table)]


VERBS = _verbs("""
        repair, repaired, reparieren, repariert, repariert, device wood vehicle
        buy, bought, kaufen, kauft, gekauft, thing vehicle item food
        sell, sold, verkaufen, verkauft, verkauft, thing vehicle
        order, ordered, bestellen, bestellt, bestellt, thing food
        clean, cleaned, reinigen, reinigt, gereinigt, thing vehicle opening
        paint, painted, streichen, streicht, gestrichen, wood
        measure, measured, messen, misst, gemessen, wood opening
        carry, carried, tragen, trägt, getragen, wood box
        wash, washed, waschen, wäscht, gewaschen, fabric vehicle
        test, tested, testen, testet, getestet, device vehicle
        turn on, turned on, ein|schalten, schaltet, eingeschaltet, device
        turn off, turned off, aus|schalten, schaltet, ausgeschaltet, device
        open, opened, öffnen, öffnet, geöffnet, opening box
        close, closed, schließen, schließt, geschlossen, opening
        read, read, lesen, liest, gelesen, text
        write, wrote, schreiben, schreibt, geschrieben, text
        print out, printed out, aus|drucken, druckt, ausgedruckt, text
        check, checked, prüfen, prüft, geprüft, legal device vehicle
        sign, signed, unterschreiben, unterschreibt, unterschrieben, legal
        copy, copied, kopieren, kopiert, kopiert, text
        look for, looked for, suchen, sucht, gesucht, item text animal
        find, found, finden, findet, gefunden, item text animal PAST
        lose, lost, verlieren, verliert, verloren, item text PAST
        forget, forgot, vergessen, vergisst, vergessen, item text PAST
        bring, brought, bringen, bringt, gebracht, item text food
        bring back, brought back, zurück|bringen, bringt, zurückgebracht, item device
        pick up, picked up, ab|holen, holt, abgeholt, item person
        wrap, wrapped, ein|packen, packt, eingepackt, item
        unpack, unpacked, aus|packen, packt, ausgepackt, box device
        throw away, threw away, weg|werfen, wirft, weggeworfen, text item
        hide, hid, verstecken, versteckt, versteckt, item
        borrow, borrowed, aus|leihen, leiht, ausgeliehen, vehicle device item
        need, needed, brauchen, braucht, gebraucht, thing vehicle item STATIVE
        bake, baked, backen, backt, gebacken, baked
        cook, cooked, kochen, kocht, gekocht, cooked
        eat, ate, essen, isst, gegessen, food
        cut, cut, schneiden, schneidet, geschnitten, food
        feed, fed, füttern, füttert, gefüttert, animal
        brush, brushed, bürsten, bürstet, gebürstet, animal
        visit, visited, besuchen, besucht, besucht, person
        call, called, an|rufen, ruft, angerufen, person
        invite, invited, ein|laden, lädt, eingeladen, person
        meet, met, treffen, trifft, getroffen, person
        help, helped, helfen, hilft, geholfen, person DAT
        thank, thanked, danken, dankt, gedankt, person DAT
    """)
"""Verbs with one object."""

GIFTS = _verbs("""
        give, gave, geben, gibt, gegeben, item text food
        show, showed, zeigen, zeigt, gezeigt, item text animal
        send, sent, schicken, schickt, geschickt, box text legal
        bring, brought, bringen, bringt, gebracht, item text food
        lend, lent, leihen, leiht, geliehen, item vehicle
    """)
"""Verbs with a receiver and a thing."""

MOTIONS = _verbs("""
        wait, waited, warten, wartet, gewartet, AT
        work, worked, arbeiten, arbeitet, gearbeitet, AT
        sleep, slept, schlafen, schläft, geschlafen, AT
        play, played, spielen, spielt, gespielt, AT
        stay, stayed, bleiben, bleibt, geblieben, AT SEIN
        eat, ate, essen, isst, gegessen, AT
        read, read, lesen, liest, gelesen, AT
        sing, sang, singen, singt, gesungen, AT
        go, went, gehen, geht, gegangen, TO SEIN
        drive, drove, fahren, fährt, gefahren, TO SEIN
        walk, walked, laufen, läuft, gelaufen, TO SEIN
        come, came, kommen, kommt, gekommen, TO SEIN
    """)
"""Verbs with a place."""
