"""Names of months, weekdays, quarters and weeks in the common languages, turned into what `strptime` reads.

English, German, French, Spanish, Italian, Dutch and Portuguese. Accents, case and the dots of abbreviations do not
matter.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_MONTHS = (
    "january jan januar jaenner janner enero ene janvier janv gennaio gen januari janeiro",
    "february feb februar febrero febr fevrier fevr fev febbraio februari fevereiro",
    "march mar marz maerz mrz marzo mars maart mrt marco",
    "april apr abril abr avril avr aprile",
    "may mai mayo maggio mag mei maio",
    "june jun juni junio juin giugno giu junho",
    "july jul juli julio juillet juil luglio lug julho",
    "august aug agosto ago aout augustus",
    "september sep sept septiembre septembre settembre set setembro",
    "october oct oktober okt octubre octobre ottobre ott outubro out",
    "november nov noviembre novembre novembro",
    "december dec dezember dez diciembre dic decembre dicembre dezembro",
)
_ENGLISH = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


MONTH_NUMBERS = {word: number for number, words in enumerate(_MONTHS, 1) for word in words.split()}
_WEEKDAYS = word_set(
    "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun "
    "montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag mo di mi do fr sa so "
    "lundi mardi mercredi jeudi vendredi samedi dimanche lun mar mer jeu ven sam dim "
    "lunes martes miercoles jueves viernes sabado domingo mie jue vie sab dom "
    "lunedi martedi mercoledi giovedi venerdi sabato domenica gio "
    "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag ma wo vr za zo "
    "segunda terca quarta quinta sexta seg ter qua qui sex feira"
)
_FILLERS = word_set("of de del der den the le el uhr at um am on")
_QUARTERS = word_set("q qtr quarter quartal trimestre trim kwartaal kw.")
_WEEKS = word_set("w wk kw week woche semaine semana settimana")
_ZONES = {  # minutes ahead of UTC
    **dict.fromkeys(("utc", "gmt", "wet"), 0),
    **dict.fromkeys(("bst", "cet", "mez"), 60),
    **dict.fromkeys(("cest", "mesz", "eet"), 120),
    **{"eest": 180, "edt": -240, "est": -300, "cdt": -300, "cst": -360},  # noqa: PIE800
    **{"mdt": -360, "mst": -420, "pdt": -420, "pst": -480},  # noqa: PIE800
}
_LONGEST = 120  # characters of a stamp with ornament
_WORD = re.compile(r"[^\W\d_]+\.?")
_INTERVAL = re.compile(r"\s+(?:-|–|—|to|bis|à|until|/)\s+")


def plain_word(word: str) -> str:
    """Return a word in lower case without accents and dots."""
    bare = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in bare if not unicodedata.combining(c)).strip(".")


def month_number(word: str) -> int | None:
    """Return the number of a month, 1 to 12, by its name in any of the languages; None: it is none."""
    return MONTH_NUMBERS.get(plain_word(word.strip()))


@lru_cache(maxsize=2**16)
def plain_stamp(word: str) -> str:
    """Return a time stamp in English and without ornament: of an interval its beginning, no weekday, no filler.

    A month becomes Jan to Dec between blanks, a quarter Q, a week W, a time zone an offset such as +01:00. Words that
    are unknown stay, so that no format reads them.
    """
    if len(word) > _LONGEST:
        return word
    text = re.sub(r"\s+", " ", word.strip().strip("'\"")).strip()
    text = re.sub(r"\s*\([^)]*\)$", "", text)
    text = _INTERVAL.split(text, maxsplit=1)[0]
    text = re.sub(r"(?<=\d)(?:st|nd|rd|th|er|º|ª|°)\b", "", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<=\d)\s?h\s?(?=\d\d\b)", ":", text)
    text = re.sub(r"\b[ap]\.\s?m\.", lambda m: m[0][0] + "m", text, flags=re.IGNORECASE)
    text = re.sub(r"^T([1-4])(?=[ /'-])|(?<=\d{4})[ -]?T([1-4])$", lambda m: f" Q{m[1] or m[2]}", text).strip()
    words = [plain_word(found) for found in _WORD.findall(text)]
    dated = re.search(r"\d+[./-]\d+[./-]\d+", text) is not None
    months = [w for w in words if w in MONTH_NUMBERS and not (w in _WEEKDAYS and dated)]
    sure = [w for w in months if w not in _WEEKDAYS]
    month = (sure or months or [""])[0]
    text = _WORD.sub(lambda found: _translated(found[0], month), text)
    if month:
        text = re.sub(r"[\s,./'-]*\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b[\s,./'-]*", r" \1 ", text)
        text = re.sub(r"(?<=[a-z] )(\d{1,2})[\s.,/-]+(?=\d{4}\b)", r"\1 ", text)
    text = re.sub(r"(?<=\d)\s*,\s+(?=\d)", " ", text)
    return re.sub(r"\s+", " ", text).strip(" ,.-")


def _translated(word: str, month: str) -> str:
    key = plain_word(word)
    if key in ("t", "z"):
        return key.upper()
    if key in ("am", "pm") and key != "am":
        return "PM"
    if key == "am":  # before noon, or a German filler: what stands after a clock is the former
        return "AM"
    if key == month and month:
        return _ENGLISH[MONTH_NUMBERS[month] - 1]
    if key in _QUARTERS:
        return "Q"
    if key in _WEEKS:
        return "W"
    if key in _ZONES:
        minutes = _ZONES[key]
        return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:00"
    if key in _WEEKDAYS or key in _FILLERS:
        return ""
    return word
