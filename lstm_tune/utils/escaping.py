"""Names that come from data and users, made harmless for the place where they are shown.

Columns, series, studies and paths may hold anything: escape sequences of terminals, formulas of spreadsheets, HTML.
They keep their meaning inside the program; these functions stand at its borders.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 200  # characters of one name that a sentence repeats
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, direction marks, halves of characters, line breaks
_FORMULA = re.compile(r"\A(?=\s*[=+\-@＝＋－＠]|\t)|(?<=[;|\t\n])(?=[=+\-@＝＋－＠])")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#|~$^:@]|\A[-+]|(?<=\bwww)\.|(?<=\A\d)\.)", re.IGNORECASE)


def printable(text: str, most: int | None = None) -> str:
    r"""Return text for a terminal: what is no visible character becomes an escape such as \x1b, line breaks a space.

    Args:
        text: anything.
        most: characters kept at most; the middle is left out.
    """
    shown = text if text.isascii() and text.isprintable() else "".join(_visible(c) for c in text)
    if most is not None and len(shown) > most:
        half = (most - 1) // 2
        return f"{shown[:half]}…{shown[len(shown) - half :]}"
    return shown


def _visible(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in _HIDDEN:
        return character.encode("unicode_escape", "backslashreplace").decode("ascii")
    return character


def shell(text: str) -> str:
    """Return text as a word of a shell's command line that can be copied, whatever is in it."""
    if text.isprintable():
        return shlex.quote(text)
    escaped = (c if c.isprintable() and c not in "\\'" else c.encode("unicode_escape").decode("ascii") for c in text)
    return "$'" + "".join("\\'" if c == "'" else c for c in escaped) + "'"


def cell(text: str) -> str:
    r"""Return text for a cell of a CSV file that no spreadsheet takes for a formula; numbers stay as they are.

    A cell that begins with =, +, -, @ or a tab gets a ' before it, and so does what would begin one where the
    spreadsheet's separator is another (OWASP, "CSV Injection"). Control characters become escapes such as \x1b: such
    files are printed to terminals, too.
    """
    try:
        float(text)
    except ValueError:
        pass
    else:
        return text
    lines = text.replace("\r\n", "\n").replace("\r", "\n")  # a \r that is not quoted ends a row
    plain = "".join(_visible(c) if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" else c for c in lines)
    return _FORMULA.sub("'", plain)


def markdown(text: str, most: int = SHOWN) -> str:
    """Return text for a line of Markdown that shows it as it is: no markup, no HTML, no formula."""
    shown = printable(text, most).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", shown)


def split_columns(values: Sequence[str] | None) -> list[str]:
    """Return column names from options that hold one name each, or several with commas between.

    A name that holds a comma itself is put in double quotes, as in CSV.
    """
    names: list[str] = []
    for value in values or []:
        try:
            row = next(csv.reader([value], skipinitialspace=True, strict=True), [])
        except csv.Error:
            row = value.split(",")
        names += [name.strip() for name in row if name.strip()]
    return names


def quote_column(name: str) -> str:
    """Return a column's name so that `split_columns` reads it back."""
    if split_columns([name]) == [name]:
        return name
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="").writerow([name])
    return text.getvalue()


def toml_value(value: Any) -> str:
    """Return a value as TOML writes it: text, a number, a truth value, a list or a table of these."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value)  # a basic string of TOML has the escapes of JSON
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {toml_value(one)}" for name, one in value.items()) + " }"
    return "[" + ", ".join(map(toml_value, value)) + "]"
