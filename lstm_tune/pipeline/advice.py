"""`tune --apply RUN[:CODE]`: repeat a run with what its findings advise."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from lstm_tune.errors import RunError, SpaceError, UsageError
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.report.advice import Advice, advice_of
from lstm_tune.report.run_folder import RESULT, SCHEMA
from lstm_tune.utils.atomic_files import read_json
from lstm_tune.utils.escaping import shell
from lstm_tune.utils.text import did_you_mean


def apply_advice(options: TuneOptions, given: Collection[str] | None = None) -> TuneOptions:
    """Return the options of a run with what its findings advise.

    Args:
        options: with the run, and perhaps the code of one finding, in `apply`.
        given: names of the options that were asked for and so stay as they are; None: those that differ from their
            defaults. All others become those of the run.

    Raises:
        UsageError: the run advises nothing that could be applied, or has no such finding.
        RunError: the folder holds no run, or a damaged one.
    """
    if options.apply is None:
        return options
    folder, code = _parse(options.apply)
    path = folder / RESULT
    result = read_json(path, SCHEMA)
    try:
        advice = advice_of(result["findings"], result["settings"], result["best"]["params"], code)
        kept = dict(result["options"])
        known = list(dict.fromkeys(f["code"] for f in result["findings"] if f.get("actions")))
    except (KeyError, TypeError, AttributeError, SpaceError) as error:
        raise RunError(
            f"{path} holds no advice that could be applied ({type(error).__name__}: {error}); run tune again"
        ) from None
    if not advice.actions:
        raise UsageError(_nothing(options.apply, code, known))
    if given is None:
        usual = TuneOptions()
        given = {f.name for f in fields(options) if getattr(options, f.name) != getattr(usual, f.name)}
    return _merged(options, kept, result["settings"]["space"], advice, folder, given)


def _merged(
    options: TuneOptions, kept: dict[str, Any], space: Any, advice: Advice, folder: Path, given: Collection[str]
) -> TuneOptions:
    from lstm_tune.search.space import Space

    changed = {name: value for name, value in kept.items() if name not in given}
    changed["space"] = advice.space if advice.space is not None else Space.from_dict(space)
    changed |= {name: value for name, value in advice.options.items() if name != "resume"}
    if advice.resumes:
        changed |= {"resume": True, "out": folder}
    known = {f.name for f in fields(options)}
    return replace(options, **{name: value for name, value in changed.items() if name in known and name not in given})


def apply_command(source: str | None, folder: Path | None, code: str) -> str | None:
    """Return the command that follows a finding; None: the data or the run are no files."""
    if source is None or folder is None:
        return None
    return f"lstm-tune tune {shell(source)} --apply {shell(f'{folder}:{code}')}"


def _parse(text: str) -> tuple[Path, str | None]:
    """Return the folder and the code of RUN[:CODE]; a folder may have a colon in its name."""
    if Path(text).is_dir() or ":" not in text:
        return Path(text), None
    folder, _, code = text.rpartition(":")
    return Path(folder), code


def _nothing(text: str, code: str | None, known: list[str]) -> str:
    rest = f"; it has actions for {', '.join(known)}" if known else ""
    if code is None:
        return f"apply: no warning of {text!r} holds an action{rest and rest + ': name one, as in RUN:CODE'}"
    return f"apply: {text!r} holds no action for {code!r}{did_you_mean(code, known) or rest}"
