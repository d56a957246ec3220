"""Records as tables on a terminal.

Room names, titles and identities come from strangers: control characters are taken out before they
reach a terminal, and none of them is read as markup.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from ..record import CostRecord, JobSummary, RecordCharge, RecordSaving, RecordUsage
from ..run import Status
from ..savings import LISTENING
from ..usage import format_decimal
from .layout import Column, Flow, Sheet

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
    sign = "-" if digits.startswith("-") else ""
    whole, _, decimals = digits.removeprefix("-").partition(".")
    digits = f"{whole}.{decimals.ljust(2, '0')}"
    return sign + (f"${digits}" if currency == "USD" else f"{digits} {currency or ''}".strip())


def other_reading(basis: str, cost: str) -> str:
    """What a disputed charge would be: `cost` as it is shown, empty where nobody measured it.

    A basis of one word names what is billed instead; one of several says itself what would hold.
    """
    cost = cost or "not known"
    return f"otherwise {cost} ({basis})" if " " in basis else f"billed by {basis} it is {cost}"


def made_of(provider: str, model: str) -> str:
    """Whose something is, as it stands within a sentence."""
    return f"{provider} {model}".strip()


def amount(quantity: Decimal | None, unit: str | None) -> str:
    """A quantity with its unit, in the plural where there is one; every digit of it."""
    if quantity is None or unit is None:
        return "-"
    block = unit[0].isdigit()
    plural = "s" if (block or quantity != 1) and unit[-1].islower() and unit[-1] != "s" else ""
    return f"{format_decimal(quantity)} {'x ' if block else ''}{unit}{plural}"


def jobs_table(jobs: Iterable[JobSummary]) -> Sheet:
    """One line for each job, or two where the width is short."""
    sheet = Sheet(
        (
            Column("started (UTC)", "whole"),
            Column("job", "whole"),
            Column("status", "whole"),
            Column("room"),
            Column("tenant"),
            Column("length", "figure"),
            Column("list cost", "figure"),
        ),
        stacks=(
            ("started (UTC)", "room"),
            ("job", "tenant"),
            ("status",),
            ("length",),
            ("list cost",),
        ),
        ruled=False,
    )
    for job in jobs:
        unrated = f"\n+ {job.unrated} unrated" if job.unrated else ""
        sheet.add(
            f"{job.started_at:%Y-%m-%d %H:%M}",
            job.job_id,
            Text(job.status, style=_STATUS_STYLES[job.status]),
            plain(job.room_name),
            plain(job.tenant),
            f"{(job.ended_at - job.started_at).total_seconds():.0f} s",
            money(job.list_cost, job.currency) + unrated,
        )
    return sheet


def print_record(console: Console, record: CostRecord, *, with_usage: bool = False) -> None:
    """A whole cost record: what it is of, its charges, its total and what is missing from it."""
    for part in _heading(record):
        console.print(part)
    if with_usage:
        console.print(usage_table(record.usage))
        console.print()
    console.print(charges_table(record.charges))
    console.print()
    for part in total_lines(record):
        console.print(part)


def _heading(record: CostRecord) -> Iterator[Flow]:
    yield Flow([Text(record.job_id, "bold"), Text(record.status, _STATUS_STYLES[record.status])])
    lasted = (record.ended_at - record.started_at).total_seconds()
    about = [Text(f"{record.started_at:%Y-%m-%d %H:%M:%S} UTC"), Text(f"{lasted:.1f} s")]
    for label, value in (
        ("room", record.room_name),
        ("title", record.title),
        ("tenant", record.tenant),
    ):
        if value:
            about.append(Text(f"{label} ").append_text(plain(value)))
    yield Flow(_listing(about))
    rated = f"rate card {record.rate_card or 'none'}"
    how = (f"hosting {record.hosting}", f"plan {record.plan}", f"revision {record.revision}", rated)
    yield Flow(_listing([Text(part) for part in how]))
    if record.error:
        yield Flow([plain(record.error)])


def _listing(parts: Sequence[Text]) -> list[Text]:
    return [*(part + Text(",") for part in parts[:-1]), *parts[-1:]]


def charges_table(charges: Sequence[RecordCharge]) -> Sheet:
    """One row for each charge; what is not billed or has no price says so."""
    sheet = Sheet(
        (
            Column("meter"),
            Column("provider / model"),
            Column("count", "figure"),
            Column("consumed", "figure"),
            Column("billed", "figure"),
            Column("unit price", "figure"),
            Column("list cost", "figure"),
        ),
        stacks=(
            ("meter", "provider / model"),
            ("count", "consumed"),
            ("billed", "unit price"),
            ("list cost",),
        ),
    )
    for charge in charges:
        name = charge.meter + "".join(f" {key}={value}" for key, value in charge.attributes.items())
        consumed = amount(_short(charge.consumed_quantity), charge.consumed_unit)
        if charge.certainty != "exact":
            consumed += f"\n({charge.certainty})"
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
        sheet.add(*row)
    return sheet


def total_lines(record: CostRecord) -> Iterator[Flow]:
    """The total, and next to it whatever is missing from it or disputed in it."""
    yield Flow([Text(f"list cost {money(record.list_cost, record.currency)}", "bold")])
    for missing in record.unrated:
        quantity = amount(_short(missing.quantity), missing.unit)
        named = f"+ unrated: {missing.meter}, {made_of(missing.provider, missing.model)},"
        parts = [*plain(named).split(), Text(f"{quantity}:"), *plain(missing.reason).split()]
        yield Flow([_styled(part, "yellow") for part in parts])
    for saving in record.savings:
        yield Flow([_styled(part, "green") for part in plain(_saved(saving)).split()])
    for charge in record.charges:
        said = ""
        if charge.disputed:
            stated = charge.disputed.get("list_cost")
            cost = money(Decimal(stated), charge.currency) if stated is not None else ""
            reading = other_reading(charge.disputed.get("basis", ""), cost)
            said = f"* disputed: {reading}: {charge.disputed.get('reason')}"
        elif charge.state == "not_billed" and charge.meter != LISTENING:
            said = f"- {charge.meter} is not billed: {charge.reason}"
        if said:
            yield Flow([_styled(part, "dim") for part in plain(said).split()])


def _saved(saving: RecordSaving) -> str:
    """What was not sent, and what that would have cost."""
    used, listened = (
        amount(_short(quantity), saving.unit) for quantity in (saving.quantity, saving.listened)
    )
    worth = ""
    if saving.saved_cost:
        worth = f": {money(saving.saved_cost, saving.currency)} saved"
    named = made_of(saving.provider, saving.model)
    return f"- {saving.meter}, {named}: {used} of {listened} that were listened to{worth}"


def _styled(text: Text, style: str) -> Text:
    text.stylize(style)
    return text


def usage_table(usages: Sequence[RecordUsage]) -> Sheet:
    """Every measured instance, with its times, source and certainty."""
    sheet = Sheet(
        (
            Column("meter"),
            Column("who"),
            Column("purpose"),
            Column("provider / model"),
            Column("started (UTC)", "whole"),
            Column("ended", "whole"),
            Column("quantity", "figure"),
            Column("stated", "figure"),
            Column("certainty", "whole"),
            Column("source"),
        ),
        stacks=(
            ("meter", "who", "purpose"),
            ("provider / model", "source"),
            ("started (UTC)", "ended"),
            ("quantity", "certainty", "stated"),
        ),
    )
    for usage in usages:
        sheet.add(
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
    return sheet


def _short(quantity: Decimal) -> Decimal:
    """To three decimals, for a table; the record itself has every digit."""
    return quantity.quantize(Decimal("0.001")) if quantity % 1 else quantity


def _exact(value: Decimal | None) -> str:
    return "-" if value is None else format_decimal(value)
