"""How long words and names are kept, tenant by tenant: one setting, for the meter and for others.

    TALLYROOM_RETENTION_DAYS=90                           everybody's meetings
    TALLYROOM_RETENTION_DAYS=90,acme=365,lab=forever      some tenants' differently

Measurements, charges and statements are not meant: they are kept without names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from .errors import SettingsError

FOREVER = "forever"
_LONGEST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Retention:
    """Days after a meeting's end; None is forever."""

    days: int | None = None
    by_tenant: Mapping[str, int | None] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def parse(cls, text: str) -> Retention:
        """From the setting; empty is forever.

        Raises:
            SettingsError: a number of days that is none, or a tenant that stands there twice.
        """
        days: int | None = None
        by_tenant: dict[str, int | None] = {}
        given: set[str] = set()
        for item in filter(None, (part.strip() for part in text.split(","))):
            tenant, equals, value = item.rpartition("=")
            tenant = tenant.strip()
            if tenant in given or (equals and not tenant):
                raise SettingsError(f"TALLYROOM_RETENTION_DAYS: {item!r} is twice there, or empty")
            given.add(tenant)
            if equals:
                by_tenant[tenant] = _days(item, value.strip())
            else:
                days = _days(item, value.strip())
        return cls(days, MappingProxyType(by_tenant))

    @property
    def is_forever(self) -> bool:
        """Whether nothing ever goes."""
        return self.shortest is None

    @property
    def shortest(self) -> int | None:
        """The days of the tenant whose meetings go first."""
        limited = [days for days in (self.days, *self.by_tenant.values()) if days is not None]
        return min(limited, default=None)

    def is_over(self, tenant: str, ended_at: datetime, now: datetime) -> bool:
        """Whether a tenant's meeting that ended then has been kept for long enough."""
        days = self.by_tenant.get(tenant, self.days)
        return days is not None and ended_at + timedelta(days=days) <= now


def _days(item: str, value: str) -> int | None:
    if value == FOREVER:
        return None
    if not (value.isascii() and value.isdigit() and 0 < int(value) <= _LONGEST_DAYS):
        raise SettingsError(
            f"TALLYROOM_RETENTION_DAYS: {item!r} is no number of days from 1 to {_LONGEST_DAYS},"
            f" and not {FOREVER!r}"
        )
    return int(value)
