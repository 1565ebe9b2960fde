"""What is kept of the testbed's principals: public keys of service accounts, digests of tokens, one key of our own."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from testbed import foreign_errors
from testbed.control.state import database
from testbed.errors import NotFound, Unavailable

KEYS = "keys.db"
"""The file in the folder of a testbed."""
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS account_keys (id TEXT PRIMARY KEY, email TEXT NOT NULL, public_key TEXT NOT NULL,
                                                 deleted INTEGER NOT NULL DEFAULT 0)""",
    "CREATE INDEX IF NOT EXISTS account_keys_by_email ON account_keys (email)",
    "CREATE TABLE IF NOT EXISTS access_tokens (digest BLOB PRIMARY KEY, email TEXT NOT NULL, expires REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS disabled_accounts (email TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS signing_key (one INTEGER PRIMARY KEY CHECK (one = 1), private_key TEXT NOT NULL)",
)


@dataclass(frozen=True)
class PublicKey:
    """The public half (PEM) of a service account's key."""

    id: str
    email: str
    pem: str
    deleted: bool = False
    """It is remembered: what it signed still claims to be of its account, and must not pass for a stranger's."""


class Keys(Protocol):
    """Where principals are kept.  Times are seconds since the epoch."""

    def add(self, key: PublicKey) -> None:
        """Keep a key."""

    def get(self, key_id: str) -> PublicKey | None:
        """A key, deleted or not."""

    def of(self, email: str) -> list[PublicKey]:
        """The keys of an account, deleted or not, in the order of their ids."""

    def delete(self, key_id: str) -> None:
        """Delete a key: what it signs no longer holds.

        Raises:
            NotFound: if there is none of this id.
        """

    def add_token(self, digest: bytes, email: str, expires: float, *, now: float) -> None:
        """Keep the digest of a token; those that have expired `now` are forgotten."""

    def token(self, digest: bytes) -> tuple[str, float] | None:
        """The account that a token was issued to, and when it expires."""

    def set_disabled(self, email: str, *, disabled: bool) -> None:
        """Whether an account is disabled."""

    def is_disabled(self, email: str) -> bool:
        """Whether an account is disabled."""

    def signing_key(self, make: Callable[[], str]) -> str:
        """The testbed's own private key (PEM); made once."""


class SqliteKeys:
    """`Keys` in SQLite, in tables of their own.

    Each method is one transaction.  The connection must be in autocommit mode (`isolation_level=None`) and outside of a
    transaction; several processes may each have one.

    Raises:
        Unavailable: (any method) if the file cannot be read or written.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        for statement in _SCHEMA:
            self._run(statement)

    @classmethod
    @contextmanager
    def open(cls, file: Path) -> Iterator[SqliteKeys]:
        """Open a file, for any number of threads; if there is none it is made, its owner's alone (0600).

        Raises:
            Unavailable: if it cannot be opened.
        """
        try:
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise foreign_errors.of_file(error) or Unavailable(f"keys in {file}: cannot be read: {error}") from error
        connection = database.connect(file)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # a key that was handed out is known after any crash
            keys = cls(connection)
            keys.all()  # SQLite's own files are made by the first read: later there may be no room for them
            yield keys
        finally:
            connection.close()

    def _run(self, statement: str, *values: object) -> list[Any]:
        return self._db.execute(statement, values).fetchall()

    def add(self, key: PublicKey) -> None:
        """Keep a key."""
        self._run("INSERT INTO account_keys VALUES (?, ?, ?, ?)", key.id, key.email, key.pem, key.deleted)

    def get(self, key_id: str) -> PublicKey | None:
        """A key, deleted or not."""
        rows = self._run("SELECT * FROM account_keys WHERE id = ?", key_id)
        return _public_key(rows[0]) if rows else None

    def of(self, email: str) -> list[PublicKey]:
        """The keys of an account, deleted or not, in the order of their ids."""
        return [_public_key(row) for row in self._run("SELECT * FROM account_keys WHERE email = ? ORDER BY id", email)]

    def all(self) -> list[PublicKey]:
        """All keys, deleted or not, in the order of their making."""
        return [_public_key(row) for row in self._run("SELECT * FROM account_keys ORDER BY rowid")]

    def delete(self, key_id: str) -> None:
        """Delete a key; raises NotFound if there is none, or none any more."""
        gone = self._run("UPDATE account_keys SET deleted = 1 WHERE id = ? AND NOT deleted RETURNING id", key_id)
        if not gone:
            raise NotFound(f"service-account key {key_id!r}: not found; `testbed key list` prints the keys")

    def add_token(self, digest: bytes, email: str, expires: float, *, now: float) -> None:
        """Keep the digest of a token; those that have expired `now` are forgotten."""
        self._run("DELETE FROM access_tokens WHERE expires <= ?", now)
        self._run("INSERT INTO access_tokens VALUES (?, ?, ?)", digest, email, expires)

    def token(self, digest: bytes) -> tuple[str, float] | None:
        """The account that a token was issued to, and when it expires."""
        rows = self._run("SELECT email, expires FROM access_tokens WHERE digest = ?", digest)
        return (str(rows[0][0]), float(rows[0][1])) if rows else None

    def set_disabled(self, email: str, *, disabled: bool) -> None:
        """Whether an account is disabled."""
        if disabled:
            self._run("INSERT OR IGNORE INTO disabled_accounts VALUES (?)", email)
        else:
            self._run("DELETE FROM disabled_accounts WHERE email = ?", email)

    def is_disabled(self, email: str) -> bool:
        """Whether an account is disabled."""
        return bool(self._run("SELECT 1 FROM disabled_accounts WHERE email = ?", email))

    def signing_key(self, make: Callable[[], str]) -> str:
        """The testbed's own private key; of several processes that make one at once, one's is kept."""
        if not self._run("SELECT 1 FROM signing_key"):
            self._run("INSERT OR IGNORE INTO signing_key VALUES (1, ?)", make())
        return str(self._run("SELECT private_key FROM signing_key")[0][0])


def _public_key(row: tuple[str, str, str, int]) -> PublicKey:
    return PublicKey(row[0], row[1], row[2], deleted=bool(row[3]))
