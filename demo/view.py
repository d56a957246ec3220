"""What the demo shows while the meeting goes on, and the bill when it is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from metering.display.layout import Column, Flow, Sheet
from metering.display.records import amount, money, print_record
from metering.pricing.charges import Charge, totals
from metering.record import CostRecord
from metering.usage import format_decimal

from .bill import CURRENCY, Compared, Figures
from .meeting import NAMES, Meeting
from .speaker import Caption

SHOWN_CAPTIONS = 8

_COLORS = {"alice": "cyan", "bob": "magenta", "carol": "green"}


def live_view(meeting: Meeting, figures: Figures | None, elapsed: float) -> RenderableType:
    """The meeting as it stands: who speaks, what was said, what it has come to."""
    return Group(
        Columns([_people(meeting), _meters(figures, elapsed)], expand=True),
        Panel(_captions(latest(meeting.reader.captions)), title="captions", border_style="dim"),
    )


def latest(captions: Sequence[Caption]) -> list[Caption]:
    """The newest text of each segment, in the order in which they began; not what was withdrawn."""
    newest: dict[str, Caption] = {}
    for caption in captions:
        if caption.segment_id not in newest or not newest[caption.segment_id].final:
            newest[caption.segment_id] = caption
    return [caption for caption in newest.values() if caption.text]


def caption_line(caption: Caption) -> Text:
    """A caption with its speaker; what may still change is dim."""
    name = NAMES.get(caption.sender_identity, caption.sender_identity)
    line = Text(f"{name}: ", style=f"bold {_COLORS.get(caption.sender_identity, '')}")
    return line.append(caption.text, style="not bold" if caption.final else "not bold dim")


def _people(meeting: Meeting) -> Panel:
    table = Table.grid(padding=(0, 2))
    for identity, name in NAMES.items():
        if identity in meeting.speaking:
            state = Text("speaking", style="bold")
        elif identity in meeting.present:
            state = Text("listening", style="dim")
        else:
            state = Text("not here", style="dim italic")
        dot = Text("●", style=_COLORS[identity] if identity in meeting.present else "dim")
        table.add_row(dot, Text(name, style=_COLORS[identity]), state)
    return Panel(table, title="in the room", border_style="dim")


def _meters(figures: Figures | None, elapsed: float) -> Panel:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_row("meeting", f"{elapsed:.0f} s")
    if figures:
        for meter, label in (
            ("agent_session", "agent session"),
            ("participant_connection", "connections"),
            ("stt_connection", "STT sockets"),
            ("stt_audio", "STT audio"),
        ):
            if meter in figures.seconds:
                count = figures.instances[meter]
                table.add_row(label, f"{figures.seconds[meter]:.0f} s in {count}")
        table.add_row("cost here", Text(money(figures.here, CURRENCY), style="bold"))
        table.add_row("on LiveKit Cloud", Text(money(figures.on_cloud, CURRENCY), style="bold"))
    return Panel(table, title="metered", border_style="dim")


def _captions(captions: list[Caption]) -> RenderableType:
    if not captions:
        return Text("nobody has said anything yet", style="dim")
    return Group(*(caption_line(caption) for caption in captions[-SHOWN_CAPTIONS:]))


def print_bill(
    console: Console,
    record: CostRecord,
    cloud_charges: Sequence[Charge],
    compared: Sequence[Compared] | None,
    files: Sequence[tuple[str, Path | str]],
) -> None:
    """The cost record, its price on LiveKit Cloud, the check against the server, and the files."""
    console.rule("the cost record")
    print_record(console, record)
    console.print()
    console.rule("the same meeting on LiveKit Cloud, Ship plan, agent deployed there")
    console.print(_cloud_table(cloud_charges))
    console.print()
    for line in _cloud_total(cloud_charges):
        console.print(line)
    console.print()
    console.rule("the server's log beside ours")
    if compared is None:
        console.print("the server is not ours: its log cannot be read from here", style="dim")
    else:
        console.print(_compared_table(compared))
    console.print()
    for label, path in files:
        console.print(Text.assemble((f"{label:<12}", "bold"), str(path)), soft_wrap=True)


def _cloud_table(charges: Sequence[Charge]) -> Sheet:
    sheet = Sheet(
        (
            Column("meter"),
            Column("count", "figure"),
            Column("billed", "figure"),
            Column("unit price", "figure"),
            Column("list cost", "figure"),
        ),
        stacks=(("meter",), ("count", "billed"), ("unit price",), ("list cost",)),
    )
    for charge in charges:
        if charge.list_cost is None or charge.unit_price is None:
            sheet.add(charge.meter, str(charge.instances), "-", "-", charge.state)
            continue
        name = charge.meter + "".join(f" {key}={value}" for key, value in charge.attributes.items())
        sheet.add(
            name,
            str(charge.instances),
            amount(charge.pricing_quantity, charge.pricing_unit),
            format_decimal(charge.unit_price),
            money(charge.list_cost, charge.currency),
        )
    return sheet


def _cloud_total(charges: Sequence[Charge]) -> Iterator[Flow]:
    summed = totals(charges)
    total = money(summed.list_cost.get(CURRENCY, Decimal(0)), CURRENCY)
    yield Flow([Text(f"list cost, past every allowance: {total}", "bold")])
    for charge in summed.unrated:
        yield Flow([Text(f"+ unrated: {charge.meter}: {charge.reason}", "yellow")])


def _compared_table(rows: Sequence[Compared]) -> Sheet:
    sheet = Sheet(
        (
            Column("who"),
            Column("what"),
            Column("server", "figure"),
            Column("metered", "figure"),
            Column("join apart", "figure"),
            Column("leave apart", "figure"),
            Column("verdict"),
        ),
        stacks=(
            ("who", "what"),
            ("server", "metered"),
            ("join apart", "leave apart"),
            ("verdict",),
        ),
    )
    for row in rows:
        sheet.add(
            NAMES.get(row.who, row.who),
            row.what,
            f"{row.server_seconds:.3f} s",
            f"{row.metered_seconds:.3f} s",
            f"{row.starts_apart * 1000:.0f} ms",
            f"{row.ends_apart * 1000:.0f} ms",
            Text("ok", style="green") if row.agrees else Text("differs", style="red"),
        )
    return sheet
