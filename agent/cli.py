"""`tallyroom`: run the worker, ask for a transcriber, and, through the meter, see what it cost."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer

from metering import MeteringError, __version__
from metering import cli as meter_cli

from .errors import TranscriberError

AFTERWARDS = {
    "forget": "agent.commands.forget",
    "notes": "agent.commands.notes",
    "prune": "agent.commands.prune",
    "record": "agent.commands.record",
    "search": "agent.commands.search",
    "timeline": "agent.commands.timeline",
    "transcript": "agent.commands.transcripts",
    "correct": "agent.commands.transcripts",
}
"""The module of each command besides those that ask for a transcriber."""


class _Commands(meter_cli.CommandsOnDemand):
    # What both have is the transcriber's: it does the meter's part, too.
    modules = meter_cli.COMMANDS | AFTERWARDS


app = typer.Typer(
    cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


_SERVER_OPTIONS = {
    "--url": "LIVEKIT_URL",
    "--api-key": "LIVEKIT_API_KEY",
    "--api-secret": "LIVEKIT_API_SECRET",
}
"""Options of LiveKit's that stand for a variable; whatever else it has is its own affair."""


@app.command(context_settings=_PASS_ON)
def start(context: typer.Context) -> None:
    """Run the worker. Options are LiveKit's: --log-level, --url, --api-key, --api-secret."""
    _run_worker("start", context.args)


@app.command(context_settings=_PASS_ON)
def dev(context: typer.Context) -> None:
    """Run the worker for development: readable logs, one warm process, no limit of load."""
    _run_worker("dev", context.args)


def _run_worker(command: str, options: list[str]) -> None:
    from livekit.agents import cli

    from .doctor import check_worker
    from .settings import AgentSettings
    from .worker import build_server

    # So that the meter in the job processes knows the server too.
    os.environ.update(_server_options(options))
    try:
        settings = AgentSettings.load()
        if "--help" not in options:
            asyncio.run(check_worker(settings))
        server = build_server(settings)
    except (TranscriberError, MeteringError) as error:
        meter_cli.fail(str(error))
    sys.argv[1:] = [command, *options]
    try:
        cli.run_app(server)
    finally:
        if server.has_failed:
            raise typer.Exit(1)


def _server_options(options: Sequence[str]) -> dict[str, str]:
    """The variables that are given as LiveKit's options, `--url X` or `--url=X`."""
    given = {}
    for option, following in zip_longest(options, options[1:], fillvalue=""):
        name, equals, value = option.partition("=")
        if variable := _SERVER_OPTIONS.get(name):
            given[variable] = value if equals else following
    return given


@app.command()
def dispatch(
    room: Annotated[str, typer.Argument(help="The room's name; it is made if there is none.")],
    metadata: Annotated[
        str | None, typer.Option(help="All of the request as JSON, or @FILE; instead of options.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="What the meeting is called.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whom the job is charged to.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    language: Annotated[
        str | None,
        typer.Option(help="BCP 47 tag, such as en or de-CH; auto to have it found out."),
    ] = None,
    participant_language: Annotated[
        list[str] | None,
        typer.Option(metavar="IDENTITY=TAG", help="One participant's; may be repeated."),
    ] = None,
    keyterm: Annotated[
        list[str] | None, typer.Option(help="A word to listen for; may be repeated.")
    ] = None,
    diarize: Annotated[
        bool | None, typer.Option(help="Tell voices on one microphone apart; on all of them.")
    ] = None,
    diarize_participant: Annotated[
        list[str] | None,
        typer.Option(metavar="IDENTITY", help="Only on this one's; may be repeated."),
    ] = None,
    profanity_filter: Annotated[
        bool | None, typer.Option(help="Mask profanity, where the provider does.")
    ] = None,
    numerals: Annotated[bool | None, typer.Option(help="Numbers as digits, or as words.")] = None,
    captions: Annotated[bool | None, typer.Option(help="Show captions in the room.")] = None,
    transcript_format: Annotated[
        list[str] | None, typer.Option(help="md, vtt, srt, txt or json; may be repeated.")
    ] = None,
    notes: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="Which notes to take, or none.")
    ] = None,
    notes_language: Annotated[
        str | None, typer.Option(help="BCP 47 tag; by default the meeting's.")
    ] = None,
    answers: Annotated[
        bool | None, typer.Option(help="Answer questions in the chat, where there is an LLM.")
    ] = None,
    voice: Annotated[bool | None, typer.Option(help="Be asked aloud, too, and answer so.")] = None,
    leave_after_minutes: Annotated[
        float | None, typer.Option(help="Leave after this long.")
    ] = None,
    leave_when_alone_seconds: Annotated[
        float | None, typer.Option(help="Leave this long after the last person.")
    ] = None,
    force: Annotated[
        bool, typer.Option(help="Send one even if the room has a transcriber.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for it.")] = 60.0,
    as_json: meter_cli.AsJson = False,
) -> None:
    """Send a transcriber into a room, wait until it is there, and print its job."""
    from .dispatch import dispatch as send
    from .request import TranscriptionRequest
    from .settings import AgentSettings

    options = {
        "title": title,
        "tenant": tenant,
        "tags": tag,
        "language": language,
        "languages": _languages(participant_language),
        "keyterms": keyterm,
        "diarize": diarize if diarize_participant is None else diarize_participant,
        "profanity_filter": profanity_filter,
        "numerals": numerals,
        "captions": captions,
        "transcript_formats": transcript_format,
        "notes": False if notes == "none" else notes,
        "notes_language": notes_language,
        "answers": answers,
        "voice": voice,
        "leave_after_minutes": leave_after_minutes,
        "leave_when_alone_seconds": leave_when_alone_seconds,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if metadata is not None and given:
        raise typer.BadParameter("give either --metadata or single options, not both")
    if diarize is not None and diarize_participant:
        raise typer.BadParameter("give either --diarize or --diarize-participant, not both")
    try:
        request = TranscriptionRequest.parse(_metadata(metadata, given))
        sent = asyncio.run(
            send(
                AgentSettings.load(),
                room,
                request,
                force=force,
                timeout=timeout,
                on_asking_again=lambda: typer.echo(
                    "no worker has taken it yet, asking again", err=True
                ),
            )
        )
    except TranscriberError as error:
        meter_cli.fail(str(error))
    if as_json:
        meter_cli.print_json(
            {
                "job_id": sent.job_id,
                "dispatch_id": sent.dispatch_id,
                "room_name": sent.room_name,
                "agent_identity": sent.agent_identity,
                "seconds": round(sent.seconds, 3),
            }
        )
    else:
        typer.echo(f"{sent.job_id} is in the room after {sent.seconds:.1f} s")


def _languages(given: Sequence[str] | None) -> dict[str, str] | None:
    if given is None:
        return None
    languages = {}
    for one in given:
        # The tag has no equals sign, an identity may have.
        identity, equals, tag = one.rpartition("=")
        if not (identity and equals and tag):
            raise typer.BadParameter(f"{one!r} is not IDENTITY=TAG, such as anna=de")
        languages[identity] = tag
    return languages


def _metadata(metadata: str | None, options: Mapping[str, object]) -> str:
    import json

    if metadata is None:
        return json.dumps(options)
    if not metadata.startswith("@"):
        return metadata
    try:
        return Path(metadata[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot read {metadata[1:]}: {error}") from None


@app.command()
def doctor(as_json: meter_cli.AsJson = False) -> None:
    """Check server, keys, hosting and plan, model, disk and store: each ok, or what to do."""
    from .doctor import examine, findings_table

    findings = asyncio.run(examine())
    if as_json:
        meter_cli.print_json(findings)
    else:
        from rich.console import Console

        Console().print(findings_table(findings))
    if any(not finding.ok for finding in findings):
        raise typer.Exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tallyroom {__version__}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print and exit."),
    ] = False,
) -> None:
    """A LiveKit meeting transcriber that knows what it costs."""


def main() -> None:
    """The entry point of `tallyroom` and of `python -m agent`."""
    app()
