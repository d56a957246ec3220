"""Every error the meter raises, in one tree.

    MeteringError
    |-- UsageError          a measurement that cannot be true (negative, NaN, unknown meter)
    |-- JournalError        a journal that cannot be written or read back
    |   `-- JournalCorrupt  lines that were written by nobody we know
    |-- RateError           a rate file or catalog entry that cannot be used
    |-- StatementError      a statement that must not be issued, or not yet
    |   `-- AlreadyIssued   it has been
    |-- LedgerError         the store: unreachable, locked, corrupt, read-only, full
    |   |-- JobNotFound     no such job in the store
    |   `-- UsagePruned     what would have to be rated again is gone
    |-- BackupError         a backup that cannot be made, read, or restored here
    |-- ImportRefused       a file with rows that are wrong; nothing of it was stored
    |-- ExportError         a file for another system that cannot be written
    |-- ForgetRefused       somebody who cannot be forgotten now, or of whom nothing is known
    |-- OutboxError         something owed to another system that cannot be kept or read
    `-- SettingsError       a setting that cannot be used

There is one base per place that catches: a job's shutdown catches `MeteringError` and leaves the
journal for the sweeper, the command line catches it and exits with 1, and nothing in between
catches at all. Messages name the offending value and what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .importing.problems import Problems


class MeteringError(Exception):
    """Base of everything that `metering` raises on purpose."""


class UsageError(MeteringError, ValueError):
    """A measurement that cannot be true: negative, NaN, ending before it began."""


class JournalError(MeteringError):
    """A run's journal could not be written or read back."""


class JournalCorrupt(JournalError):
    """A journal whose head cannot be trusted, so that nothing in it can be attributed to a job."""


class RateError(MeteringError, ValueError):
    """A rate or plan that cannot be used; the message names file, entry and value."""


class StatementError(MeteringError):
    """A statement that must not be issued, or not yet."""


class AlreadyIssued(StatementError):
    """This payer has a statement of this month."""


class DocumentError(MeteringError):
    """A document that cannot be made or written."""


class LedgerError(MeteringError):
    """The store could not be opened, read or written."""


class JobNotFound(LedgerError, LookupError):
    """The store has no record of this job."""


class UsagePruned(LedgerError):
    """What would have to be rated again is no longer in the store."""


class BackupError(MeteringError):
    """A backup that cannot be made, read, or restored here."""


class ImportRefused(MeteringError):
    """A file of which nothing was stored, because of what is wrong with some of its rows."""

    def __init__(self, name: str, problems: Problems) -> None:
        rows = "one row is" if problems.rows == 1 else f"{problems.rows} rows are"
        super().__init__(f"{name}: {rows} wrong, and nothing was stored; correct them and repeat")
        self.name = name
        self.problems = problems


class ExportError(MeteringError):
    """A file for another system that cannot be written."""


class OutboxError(MeteringError):
    """Something owed to another system could not be kept, or cannot be read back."""


class ForgetRefused(MeteringError):
    """Somebody or something that cannot be forgotten now, or of which nothing is known."""


class SettingsError(MeteringError, ValueError):
    """A setting that cannot be used."""
