"""How columns of time are called, in seven languages."""

from __future__ import annotations

import re

from lstm_tune.data.time_words import plain_word, word_set

_TIME_WORDS = word_set(
    "date time datetime timestamp timestamps week month quarter period ds dt ts datum zeit uhrzeit zeitpunkt "
    "zeitstempel zeitraum woche monat quartal tag fecha mes semana dia jour mois semaine horodatage giorno mese "
    "settimana maand tijd tijdstip periode periodo mtu"
)
_AXIS_WORDS = _TIME_WORDS | word_set("t s sec secs second seconds min minutes ms elapsed hour hours day days")
_NAMELESS = re.compile(r"Unnamed: \d+|index|rownames|", re.ASCII)


def is_time_name(name: str) -> bool:
    """Return whether a column is called like a time: date, Zeitpunkt, order_date, valid time (UTC)."""
    return not _TIME_WORDS.isdisjoint(_name_words(name))


def _name_words(name: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [plain_word(word) for word in re.findall(r"[^\W\d_]+", parted)]


def counts_time(name: str) -> bool:
    """Return whether a column of numbers is called like one that counts time: t, seconds, time (s)."""
    words = _name_words(name)
    return bool(words) and _AXIS_WORDS.issuperset(words)


def is_nameless(name: str) -> bool:
    """Return whether a column has no name of its own: the index that a frame was written with."""
    return _NAMELESS.fullmatch(name.strip()) is not None
