"""Issued statements: stored once, frozen, and read back as they were printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, func, select

from ..errors import LedgerError
from . import schema
from .database import wait_in_line
from .store import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """An issued statement without what it says: whose, of when, and what it came to.

    Statements are numbered from 1, as they were issued. An empty `tenant` is everybody.
    """

    number: int
    statement_id: str
    book: str
    tenant: str
    period: str
    timezone: str
    started_at: datetime
    ended_at: datetime
    plan: str
    currency: str
    total: Decimal
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Frozen:
    """What an issued statement says.

    `content` is its JSON as it was printed, `figures` the same without its jobs, `groupings` the
    JSON of its jobs' costs by whatever they can be put together by.
    """

    figures: str
    content: str
    groupings: str


_HEAD = [schema.statements.c[name] for name in Issued.__dataclass_fields__]


async def issued_statements(ledger: Ledger, tenant: str | None = None) -> list[Issued]:
    """The statements that were issued, or those of one tenant, first to last.

    Raises:
        LedgerError: the store cannot be read.
    """
    query = select(*_HEAD).order_by(schema.statements.c.number)
    if tenant is not None:
        query = query.where(schema.statements.c.tenant == tenant)

    def read(connection: Connection) -> list[Issued]:
        return [Issued(**row) for row in connection.execute(query).mappings()]

    return await ledger.read(read)


async def frozen_statement(ledger: Ledger, number: int) -> Frozen:
    """What the statement of a number says.

    Raises:
        LedgerError: the store cannot be read, or has none of this number.
    """
    statements = schema.statements
    query = select(statements.c.figures, statements.c.content, statements.c.groupings)
    query = query.where(statements.c.number == number)
    row = await ledger.read(lambda connection: connection.execute(query).first())
    if row is None:
        raise LedgerError(f"there is no statement {number} in {ledger.location}")
    return Frozen(row.figures, row.content, row.groupings)


async def figures_of(ledger: Ledger, numbers: Sequence[int]) -> list[str]:
    """The figures of the statements of these numbers, in the order of the numbers.

    Raises:
        LedgerError: the store cannot be read.
    """
    statements = schema.statements
    query = (
        select(statements.c.figures)
        .where(statements.c.number.in_(numbers))
        .order_by(statements.c.number)
    )
    return await ledger.read(lambda connection: list(connection.scalars(query)))


async def store_statement(ledger: Ledger, head: Issued, frozen: Frozen) -> bool:
    """Freeze a statement, if it is the next one.

    What it says depends on those before it: credits and balances are used up, and corrections made.

    Returns:
        False, and nothing is stored, where another statement was issued meanwhile.

    Raises:
        LedgerError: the store cannot take it.
    """
    number = schema.statements.c.number
    row = {name: getattr(head, name) for name in Issued.__dataclass_fields__} | {
        "figures": frozen.figures,
        "content": frozen.content,
        "groupings": frozen.groupings,
    }

    def store(connection: Connection) -> bool:
        wait_in_line(connection, "statements")
        last = connection.scalar(select(func.max(number))) or 0
        if last != head.number - 1:
            return False
        connection.execute(schema.statements.insert(), [row])
        return True

    return await ledger.write(store)
