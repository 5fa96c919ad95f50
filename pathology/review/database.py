"""The SQLite file of the review record: its tables, and what SQLite's errors mean to a person.

Write-ahead log with ``synchronous=FULL``: when a transaction has returned, it is on the disk
(https://www.sqlite.org/pragma.html#pragma_synchronous). Triggers refuse every change of a row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pathology.review.problems import StoreError

__all__ = [
    "APPLICATION_ID",
    "FOLDER",
    "RECORD",
    "STORE_VERSION",
    "connect",
    "connect_to_read",
    "database_errors",
]

#: Folder of the review in a run folder, and the record in it.
FOLDER: Final = "review"
RECORD: Final = "review.sqlite"
#: Says in the file's header what it is: "HER2" in ASCII.
APPLICATION_ID: Final = 0x48455232
#: Version of the tables below. There is no older one; a newer one is refused.
STORE_VERSION: Final = 1
#: Seconds to wait for another process that is writing.
BUSY_S: Final = 5.0

_TABLES: Final = """
CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    slide_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    body BLOB NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    UNIQUE (slide_id, version)
) STRICT;
CREATE TABLE documents (sha256 TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;
"""
_REFUSE: Final = """
CREATE TRIGGER {table}_{action} BEFORE {action} ON {table}
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
"""


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn an error of SQLite into one that names the file, the cause and the fix.

    Raises
    ------
    StoreError
        Nothing of the transaction was recorded.

    Examples
    --------
    >>> with database_errors(Path("review.sqlite")):
    ...     raise sqlite3.OperationalError("database or disk is full")
    Traceback (most recent call last):
    pathology.review.problems.StoreError: review.sqlite: the disk is full; nothing was ...
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(path, str(error)) from error


def _explain(path: Path, text: str) -> StoreError:
    low = text.casefold()
    if "full" in low:
        return StoreError(
            f"{path}: the disk is full; nothing was recorded, and what was recorded is kept",
            fix="Free some space, then do it again.",
        )
    if "locked" in low or "busy" in low:
        return StoreError(
            f"{path}: another process is writing to the record; nothing was recorded",
            fix="Do it again; if it stays so, close the other program that has the file open.",
        )
    if "malformed" in low or "not a database" in low or "corrupt" in low:
        return StoreError(
            f"{path}: the record is damaged ({text})",
            fix="Keep the file as it is, and put a copy of your backup in its place.",
        )
    return StoreError(
        f"{path}: the record cannot be used ({text})",
        fix="Check that the folder exists and may be written.",
    )


def connect(path: Path) -> sqlite3.Connection:
    """Open the record to write, and make it where there is none.

    Parameters
    ----------
    path
        ``DIR/review/review.sqlite``; its folder must exist.

    Returns
    -------
    sqlite3.Connection
        In autocommit; transactions are begun by hand. May be used by one thread at a time.

    Raises
    ------
    StoreError
        If it cannot be opened, is damaged, or is of another version or another program.
    """
    with database_errors(path):
        connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            _check_kind(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA trusted_schema = OFF")
            _make_tables(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open the record to read only.

    Raises
    ------
    StoreError
        As :func:`connect`, and where there is no record.
    """
    if not path.is_file():
        raise StoreError(
            f"{path}: there is no review of this run", fix="Start one with `her2 review DIR`."
        )
    with database_errors(path):
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None
        )
        try:
            _check_kind(connection, path)
            if _pragma(connection, "user_version") == 0:
                raise StoreError(
                    f"{path}: the file holds no record", fix="Put your backup in its place."
                )
        except BaseException:
            connection.close()
            raise
    return connection


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _check_kind(connection: sqlite3.Connection, path: Path) -> None:
    application, version = (
        _pragma(connection, name) for name in ("application_id", "user_version")
    )
    if application not in (0, APPLICATION_ID) or (application == 0 and version):
        raise StoreError(
            f"{path}: is the database of another program", fix="Move it away from here."
        )
    if version > STORE_VERSION:
        raise StoreError(
            f"{path}: the record is of version {version}; this program knows {STORE_VERSION}",
            fix="Use the newer version of the program that wrote it. Nothing was changed.",
        )


def _make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables in one transaction, so that no half-made record can be left."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _pragma(connection, "user_version") == 0:
            refusals = [
                _REFUSE.format(table=table, action=action)
                for table in ("events", "documents")
                for action in ("UPDATE", "DELETE")
            ]
            for statement in (*_TABLES.strip().split(";\n"), *refusals):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {STORE_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
