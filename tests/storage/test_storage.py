"""What names a storage, and what of it is shown."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from lstm_tune.cli import app as cli
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.pipeline import tune as api
from lstm_tune.storage.journal import JOURNAL
from lstm_tune.storage.kind import Opening, StorageKind
from lstm_tune.storage.memory import MEMORY
from lstm_tune.storage.open import check_storage, kind_of, open_read_only, open_storage, why_not_shareable
from lstm_tune.storage.other_database import OTHER_DATABASE
from lstm_tune.storage.postgresql import POSTGRESQL
from lstm_tune.storage.remedies import remedy_for_message
from lstm_tune.storage.sqlite import SQLITE
from lstm_tune.storage.urls import mask_argument, mask_password, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg://me:secret@host:5432/db?x=1", "postgresql+psycopg://me:***@host:5432/db?x=1"),
        ("postgresql://me:se%40cr%2Fet@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:s/e:c@r@e?t@host/db", "postgresql://me:***@host/db"),
        ("postgresql://:secret@host/db", "postgresql://:***@host/db"),
        ("postgresql://me@host/db?password=secret", "postgresql://me@host/db?password=***"),
        ("postgresql:///db?user=a&sslpassword=secret&z=1", "postgresql:///db?user=a&sslpassword=***&z=1"),
        ("mysql://me@host/db?PASSWD=secret", "mysql://me@host/db?PASSWD=***"),
        ("postgresql://me:secret@host/db?password=other", "postgresql://me:***@host/db?password=***"),
        ("postgresql://me:sec\nret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@corp:secret@host/db", "postgresql://me@corp:***@host/db"),
        ("postgresql://m/e:secret@host/db", "postgresql://m/e:***@host/db"),
        ("postgresql://me:secret@[::1]:5432/db", "postgresql://me:***@[::1]:5432/db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        (
            "postgresql://me@host:5432/db?sslrootcert=/home/a@b/x",
            "postgresql://me@host:5432/db?sslrootcert=/home/a@b/x",
        ),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:///C:/me@home/study.db", "sqlite:///C:/me@home/study.db"),
        ("sqlite:///study.db", "sqlite:///study.db"),
        ("runs/a:b@c/study.journal", "runs/a:b@c/study.journal"),
    ],
)
def test_passwords_of_urls_are_masked(url: str, shown: str) -> None:
    assert mask_password(url) == shown
    assert mask_argument(url) == shown
    assert mask_argument(f"--storage={url}") == f"--storage={shown}"
    text = without_secrets(f"cannot open {url}: no", url)
    assert text == f"cannot open {shown}: no"
    assert "secret" not in text


def test_passwords_are_taken_out_of_errors_in_every_form() -> None:
    url = "postgresql://me:s%40crit@host/db?password=t%2Bo+p"
    said = "no: s%40crit, s@crit, t%2Bo+p, t+o p"
    assert without_secrets(said, url) == "no: ***, ***, ***, ***"


@pytest.mark.parametrize("password", ["p", "port", "1", "5432", "postgres", "password", "a1"])
def test_short_password_is_masked_where_a_password_stands_alone(password: str) -> None:
    url = f"postgresql://u:{password}@127.0.0.1:5432/db"
    said = 'connection to 127.0.0.1, port 5432 failed: password authentication failed for user "postgres" a1 p'
    assert without_secrets(said, url) == said
    other = f"postgresql+psycopg://u:{password}@127.0.0.1:5432/db password={password} no"
    assert without_secrets(other, url) == "postgresql+psycopg://u:***@127.0.0.1:5432/db password=*** no"


def test_sqlite_file_that_is_read_only_is_refused_before_the_study_begins(tmp_path: Path) -> None:
    open_storage(f"sqlite:///{tmp_path / 'study.db'}")  # makes the tables
    for how in ("mode=ro", "immutable=1"):
        url = f"sqlite:///file:{tmp_path / 'study.db'}?{how}&uri=true"
        with pytest.raises(StudyError, match=r"^cannot open the storage .* read-only; make it writable, or name anot"):
            open_storage(url)


@pytest.mark.parametrize("scheme", ["sqlite:///", ""])
def test_storage_that_is_only_opened_makes_no_file(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / ("x.db" if scheme else "x.journal")
    with pytest.raises(StudyError, match=r"x.db' does not exist|x.journal': No such file"):
        open_storage(f"{scheme}{path}", Opening(create=False))
    assert not path.exists()


def test_command_worker_refuses_a_missing_journal_before_it_imports_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from lstm_tune.cli import worker_command

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(worker_command, "_import_packages", lambda: pytest.fail("packages were imported"))
    monkeypatch.setattr(sys, "argv", ["lstm-tune", "worker", "s", "example:nile", "--storage", "nosuch.journal"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "the study file 'nosuch.journal' does not exist" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("limit", "why"), [("1h", "no further one is left"), ("5s", "the time is over")])
def test_command_worker_says_why_it_ended(
    limit: str, why: str, command_line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lstm_tune.cli import worker_command

    monkeypatch.setattr(worker_command, "_import_packages", lambda: None)
    monkeypatch.setattr(worker_command, "clock", SimpleNamespace(monotonic=iter([0.0, 6.0]).__next__))
    monkeypatch.setattr("lstm_tune.pipeline.worker.run", lambda *given: 3)
    status, _, err = command_line("worker", "s", "example:nile", "--storage", "postgresql://u@h/db", "--for", limit)
    assert (status, err) == (0, f"3 trials in 6 s; {why}\n")


@pytest.mark.parametrize("scheme", ["sqlite:///", ""])
def test_file_in_a_folder_that_is_missing_is_refused_with_the_folder(scheme: str, tmp_path: Path) -> None:
    name = "x.db" if scheme else "x.journal"
    with pytest.raises(StudyError, match=r"^cannot open the .*make the folder '.*/missing', or name another file$"):
        open_storage(f"{scheme}{tmp_path / 'missing' / name}")
    (tmp_path / name).mkdir()
    with pytest.raises(StudyError, match=rf"this is a folder; name a file in it, such as '.*/{name}/study{name[1:]}'$"):
        open_storage(f"{scheme}{tmp_path / name}")


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ('FATAL: database "x" does not exist', "create it with createdb"),
        ('FATAL: role "x" does not exist', "createuser"),
        ('FATAL: no pg_hba.conf entry for host "1.2.3.4", user "x"', "pg_hba.conf"),
        ('FATAL: password authentication failed for user "x"', "check user and password"),
        ("fe_sendauth: no password supplied", "check user and password"),
        ('could not translate host name "x" to address: Name or service not known', "name of the host"),
        ("[Errno -2] Name or service not known", "name of the host"),
        ("connection failed: Connection refused", "that the server runs"),
        ("connection timeout expired", "that the server runs"),
        ("permission denied for schema public", "give the user the right"),
        ("FATAL: sorry, too many clients already", "max_connections"),
        ("file is not a database", "another file"),
        ("database or disk is full", "free some space"),
        ("something that nobody has seen", "check the URL"),
    ],
)
def test_what_a_database_says_has_a_remedy(said: str, remedy: str) -> None:
    assert remedy in remedy_for_message(said)


@pytest.mark.parametrize("password", ["s3cr@t/w0rd", "s3cr@t", "a@b:s3c/ret", "s3c?r@t"])
@pytest.mark.parametrize("opens", [open_storage, open_read_only])
def test_password_that_is_not_quoted_is_refused_before_a_part_of_it_is_taken_for_the_host(
    opens: Callable[[str], Any], password: str
) -> None:
    with pytest.raises(UsageError, match=r"special characters in the user or the password must be %-encoded") as raised:
        opens(f"postgresql://me:{password}@127.0.0.1:1/db")
    assert "postgresql://me:***@127.0.0.1:1/db" in str(raised.value)
    assert not [part for part in re.split("[@/:?]", password) if len(part) > 2 and part in str(raised.value)]


@pytest.mark.parametrize("password", ["s3cr/et", "s3cr:et", "s3cr%40t"])
def test_error_of_a_server_that_is_not_there_shows_no_part_of_the_password(password: str) -> None:
    url = f"postgresql://me:{password}@127.0.0.1:1/db"
    with pytest.raises(StudyError, match="Connection refused") as raised:
        open_storage(url, Opening(seconds=0.0))
    assert "s3cr" not in str(raised.value)


@pytest.mark.parametrize(
    ("storage", "kind", "shareable", "resumable"),
    [
        ("sqlite:///:memory:", MEMORY, False, False),
        ("sqlite:///study.db", SQLITE, False, True),
        ("sqlite+pysqlite:////study.db", SQLITE, False, True),
        ("postgresql+psycopg://me@host/db", POSTGRESQL, True, True),
        ("mysql://me@host/db", OTHER_DATABASE, True, True),
        ("study.journal", JOURNAL, True, True),
        ("runs/nile/study.log", JOURNAL, True, True),
    ],
)
def test_storage_is_of_the_kind_that_its_name_says(
    storage: str, kind: StorageKind, shareable: bool, resumable: bool
) -> None:
    assert kind_of(storage) is kind
    assert (why_not_shareable(storage) is None) == shareable
    assert (kind.not_resumable is None) == resumable


def test_storage_objects_of_optuna_are_judged_by_what_they_are(tmp_path: Path) -> None:
    assert why_not_shareable(optuna.storages.InMemoryStorage()) is not None
    database = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    assert why_not_shareable(database) == "SQLite can hand one trial to two workers"
    assert why_not_shareable(open_storage(tmp_path / "study.journal")) is None
    assert why_not_shareable(None) is None
    database.engine.dispose()


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:s3crit@host:port/db", "s3crit://x:s3crit@", "nothing://me:s3crit@host/db", "://me:s3crit@h"],
)
def test_an_unusable_url_is_one_line_without_its_password(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(UsageError, match="cannot open the storage") as raised:
        open_storage(url)
    assert "\n" not in str(raised.value)
    assert "s3crit@" not in str(raised.value) + caplog.text


def test_a_missing_driver_is_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("lstm_tune.storage.postgresql.find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r'driver of postgresql is missing; pip install "lstm-tune\[postgres\]"$'):
        open_storage("postgresql://me:pw@localhost/db")


@pytest.mark.parametrize("word", ["postgres", "study", "study.db", "redis", ""])
def test_a_word_that_is_neither_url_nor_journal_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match=r"storage must be a URL such as .* or a journal file .* but is"):
        check_storage(word)
    with pytest.raises(UsageError, match="storage must be a URL"):
        api.tune([1.0, 2.0], storage=word)


def test_journals_urls_and_files_that_are_there_are_taken(tmp_path: Path) -> None:
    there = tmp_path / "study"
    there.touch()
    for storage in ("a.journal", "a.log", str(there), "sqlite:///x.db", None, optuna.storages.InMemoryStorage()):
        check_storage(storage)


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite://", "sqlite://?timeout=3"),
        *("sqlite:///file::memory:?uri=true", "sqlite:///file:x?mode=memory&uri=true"),
    ],
)
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"is in memory, where nothing could be resumed .* sqlite:///study.db"):
        api.tune([1.0, 2.0], storage=url)


@pytest.mark.parametrize("url", ["bogus://me:s3crit@host/x", "postgresql+bogus://me:s3crit@host/x", "sqlite+no:///a"])
def test_a_database_that_there_is_not_is_one_line_of_ours(url: str) -> None:
    with pytest.raises(UsageError, match=r"there is no database '.*'; use postgresql://.* or a journal file") as raised:
        open_storage(url)
    assert not any(words in str(raised.value) for words in ("sqlalchemy", "plugin", "s3crit", "\n"))


@pytest.mark.parametrize("form", [["--storage", "{}"], ["--storage={}"]])
def test_the_line_to_resume_shows_no_password(
    form: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "run", stopped)
    option = [part.format("postgresql://me:s3crit@host/db") for part in form]
    monkeypatch.setattr(sys, "argv", ["lstm-tune", "tune", "example:nile", *option])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 130
    assert "s3crit" not in said.out + said.err
    assert "postgresql://me:***@host/db" in said.err


def test_storage_that_cannot_be_opened_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_storage("nosuch://me:secret@host/db")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(StudyError, match="cannot open the study file"):
        open_storage(tmp_path / "nothing" / "study.journal")
