"""What takes part in a meeting besides captions and transcript: which of it, and in what order."""

from __future__ import annotations

from livekit.agents import JobContext

from metering import JobMeter, RequestPrices, WebhookEvent

from .answers.opening import assistant
from .answers.plan import plan_answers
from .chat import Chat
from .manners.notice import Notice, notice_of
from .manners.opt_out import has_opted_out
from .moderation import Moderation, load_hook
from .notes.document import Notes
from .notes.plan import plan_notes
from .notes.taker import Told, note_taker
from .observers import MeetingObserver
from .people import HEARD_KINDS
from .recording.egress import RoomEgress
from .recording.recording import Recording
from .request import TranscriptionRequest
from .server_api import server_api
from .settings import AgentSettings


def observers(
    ctx: JobContext,
    settings: AgentSettings,
    request: TranscriptionRequest,
    meter: JobMeter,
    notes_prices: RequestPrices | None = None,
    answers_prices: RequestPrices | None = None,
) -> list[MeetingObserver]:
    """What takes part in a meeting besides captions and transcript, in the order they are told.

    Raises:
        TranscriberError: what was asked for cannot be had.
    """
    chosen: list[MeetingObserver] = []
    chat = Chat(ctx.room)
    if notice := notice_of(settings, request):
        chosen.append(Notice(ctx.room, chat, notice, HEARD_KINDS))
    if settings.moderation:
        folder = settings.transcripts_path / ctx.job.id
        chosen.append(Moderation(load_hook(settings.moderation), folder))
    chosen.append(
        Recording(
            ctx.room,
            RoomEgress(ctx.room.name, settings, lambda: server_api(settings)),
            request.record,
            metered=meter.egress,
            may_record=lambda person: (
                person.kind in HEARD_KINDS
                and not has_opted_out(person.identity, person.attributes, request.opt_out)
            ),
            tell=chat.say,
        )
    )
    if plan := plan_notes(settings, request):
        chosen.append(note_taker(settings, plan, meter, notes_prices, told=_announce_to(meter)))
    if answered := plan_answers(settings, request):
        chosen.append(
            assistant(
                settings, answered, meter, answers_prices, room=ctx.room, chat=chat, now=meter.now
            )
        )
    return chosen


def _announce_to(meter: JobMeter) -> Told:
    async def announce(notes: Notes) -> None:
        await meter.announce(WebhookEvent.NOTES, notes=notes.model_dump(mode="json"))

    return announce
