"""What is in use: the models and meters of the ledger's recent usage, and under which terms."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import Connection, Text, cast, func, select

from ..pricing.rate_check import InUse
from . import schema
from .store import Ledger

_Key = tuple[str, str, str, tuple[tuple[str, str], ...], str, str]


async def in_use(ledger: Ledger, since: datetime) -> list[InUse]:
    """Every provider, model, meter and set of attributes that was used since, in their order.

    Raises:
        LedgerError: the store cannot be read.
    """
    usage, jobs = schema.usage, schema.jobs
    attributes = cast(usage.c.attributes, Text)
    group = (usage.c.provider, usage.c.model, usage.c.meter, attributes)
    terms = (jobs.c.plan, jobs.c.hosting)
    query = (
        select(*group, *terms, func.count(usage.c.instance_id.distinct()))
        .join(jobs, jobs.c.job_id == usage.c.job_id)
        .where(usage.c.ended_at >= since)
        .group_by(*group, *terms)
    )

    def read(connection: Connection) -> Counter[_Key]:
        found: Counter[_Key] = Counter()
        for provider, model, meter, written, plan, hosting, count in connection.execute(query):
            pairs = tuple(sorted(json.loads(written).items()))
            found[provider, model, meter, pairs, plan, hosting] += count
        return found

    return [
        InUse(
            provider=provider,
            model=model,
            meter=meter,
            attributes=MappingProxyType(dict(pairs)),
            plan=plan,
            hosting=hosting,
            instances=count,
        )
        for (provider, model, meter, pairs, plan, hosting), count in sorted(
            (await ledger.read(read)).items()
        )
    ]
