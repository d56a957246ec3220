"""Records as tables on a terminal.

Room names, titles and identities come from strangers: control characters are taken out before they
reach a terminal, and none of them is read as markup.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .record import CostRecord, JobSummary, RecordCharge, RecordUsage
from .run import Status
from .usage import format_decimal

_STATUS_STYLES = {
    Status.RUNNING: "cyan",
    Status.COMPLETE: "green",
    Status.RECOVERED: "yellow",
    Status.FAILED: "red",
    Status.DECLINED: "magenta",
}

_UNSAFE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Unicode's categories of what is no character to look at, and of line separators."""


def plain(text: str) -> Text:
    """A stranger's text, safe to print: one line, no markup, no control characters."""
    return Text("".join(" " if unicodedata.category(char) in _UNSAFE else char for char in text))


def money(amount: Decimal | None, currency: str | None) -> str:
    """An exact amount with its currency, or a dash for what has no price."""
    if amount is None:
        return "-"
    digits = format_decimal(amount)
    whole, _, decimals = digits.partition(".")
    digits = f"{whole}.{decimals.ljust(2, '0')}"
    return f"${digits}" if currency == "USD" else f"{digits} {currency or ''}".strip()


def amount(quantity: Decimal | None, unit: str | None) -> str:
    """A quantity with its unit, in the plural where there is one; every digit of it."""
    if quantity is None or unit is None:
        return "-"
    plural = "s" if quantity != 1 and unit[-1].islower() and unit[-1] != "s" else ""
    return f"{format_decimal(quantity)} {unit}{plural}"


def jobs_table(jobs: Iterable[JobSummary]) -> Table:
    """One line for each job."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("started (UTC)", "job", "status", "room", "tenant", "length"):
        table.add_column(heading, no_wrap=heading in ("job", "started (UTC)"))
    table.add_column("list cost", justify="right", overflow="fold")
    for job in jobs:
        unrated = f" + {job.unrated} unrated" if job.unrated else ""
        table.add_row(
            f"{job.started_at:%Y-%m-%d %H:%M}",
            job.job_id,
            Text(job.status, style=_STATUS_STYLES[job.status]),
            plain(job.room_name),
            plain(job.tenant),
            f"{(job.ended_at - job.started_at).total_seconds():.0f} s",
            money(job.list_cost, job.currency) + unrated,
        )
    return table


def print_record(console: Console, record: CostRecord, *, with_usage: bool = False) -> None:
    """A whole cost record: what it is of, its charges, its total and what is missing from it."""
    console.print(_heading(record))
    if with_usage:
        console.print(usage_table(record.usage))
    console.print(charges_table(record.charges))
    console.print(total_line(record))


def _heading(record: CostRecord) -> Text:
    heading = Text.assemble(
        (record.job_id, "bold"), "  ", (record.status, _STATUS_STYLES[record.status])
    )
    lasted = (record.ended_at - record.started_at).total_seconds()
    heading.append(f"\n{record.started_at:%Y-%m-%d %H:%M:%S} UTC, {lasted:.1f} s, room ")
    heading.append_text(plain(record.room_name))
    for label, value in (("title", record.title), ("tenant", record.tenant)):
        if value:
            heading.append(f", {label} ").append_text(plain(value))
    heading.append(f"\nhosting {record.hosting}, plan {record.plan}, revision {record.revision}")
    heading.append(f", rate card {record.rate_card or 'none'}")
    if record.error:
        heading.append("\n").append_text(plain(record.error))
    return heading


def charges_table(charges: Sequence[RecordCharge]) -> Table:
    """One line for each charge; what is not billed or has no price says why."""
    table = Table(header_style="bold")
    table.add_column("meter", overflow="fold")
    table.add_column("provider / model")
    table.add_column("count", justify="right")
    table.add_column("consumed", justify="right", overflow="fold")
    table.add_column("billed", justify="right", overflow="fold")
    table.add_column("unit price", justify="right", overflow="fold")
    table.add_column("list cost", justify="right", overflow="fold")
    for charge in charges:
        name = charge.meter + "".join(f" {key}={value}" for key, value in charge.attributes.items())
        consumed = amount(_short(charge.consumed_quantity), charge.consumed_unit)
        if charge.certainty != "exact":
            consumed += f" ({charge.certainty})"
        model = f"{charge.provider} / {charge.model}" if charge.model else charge.provider
        row: list[Text | str] = [plain(name), plain(model), str(charge.instances), consumed]
        if charge.state == "priced":
            row += [
                amount(charge.pricing_quantity, charge.pricing_unit),
                f"{_exact(charge.unit_price)} / {charge.pricing_unit}",
                money(charge.list_cost, charge.currency) + (" *" if charge.disputed else ""),
            ]
        elif charge.state == "not_billed":
            row += ["-", "-", Text("not billed", style="dim")]
        else:
            row += ["-", "-", Text("unrated", style="yellow")]
        table.add_row(*row)
    return table


def total_line(record: CostRecord) -> Text:
    """The total, and next to it whatever is missing from it or disputed in it."""
    line = Text.assemble(("list cost ", "bold"), (money(record.list_cost, record.currency), "bold"))
    for missing in record.unrated:
        named = plain(
            f"+ unrated: {missing.meter}, {missing.provider} {missing.model}, "
            f"{amount(_short(missing.quantity), missing.unit)}: {missing.reason}"
        )
        line.append(f"\n{named}", style="yellow")
    for charge in record.charges:
        if charge.disputed:
            line.append(
                f"\n* disputed: billed by {charge.disputed.get('basis')} it is "
                f"{charge.disputed.get('list_cost')}: {charge.disputed.get('reason')}",
                style="dim",
            )
        elif charge.state == "not_billed":
            line.append(f"\n- {charge.meter} is not billed: {charge.reason}", style="dim")
    return line


def usage_table(usages: Sequence[RecordUsage]) -> Table:
    """Every measured instance, with its times, source and certainty."""
    table = Table(header_style="bold")
    for heading in ("meter", "who", "purpose", "provider / model", "started (UTC)", "ended"):
        table.add_column(heading)
    table.add_column("quantity", justify="right")
    table.add_column("stated", justify="right")
    for heading in ("certainty", "source"):
        table.add_column(heading)
    for usage in usages:
        table.add_row(
            usage.meter,
            plain(usage.participant or ""),
            usage.purpose,
            plain(f"{usage.provider} / {usage.model}" if usage.model else usage.provider),
            f"{usage.started_at:%H:%M:%S.%f}"[:-3],
            f"{usage.ended_at:%H:%M:%S.%f}"[:-3],
            amount(_short(usage.quantity), usage.unit),
            _exact(usage.provider_stated) if usage.provider_stated is not None else "",
            usage.certainty,
            usage.source,
        )
    return table


def _short(quantity: Decimal) -> Decimal:
    """To three decimals, for a table; the record itself has every digit."""
    return quantity.quantize(Decimal("0.001")) if quantity % 1 else quantity


def _exact(value: Decimal | None) -> str:
    return "-" if value is None else format_decimal(value)
