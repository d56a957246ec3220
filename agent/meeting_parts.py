"""What takes part in a meeting besides captions and transcript: which of it, and in what order."""

from __future__ import annotations

from livekit.agents import JobContext

from metering import JobMeter

from .chat import Chat
from .manners.notice import Notice, notice_of
from .manners.opt_out import has_opted_out
from .moderation import Moderation, load_hook
from .observers import MeetingObserver
from .people import HEARD_KINDS
from .recording.egress import RoomEgress
from .recording.recording import Recording
from .request import TranscriptionRequest
from .server_api import server_api
from .settings import AgentSettings


def observers(
    ctx: JobContext, settings: AgentSettings, request: TranscriptionRequest, meter: JobMeter
) -> list[MeetingObserver]:
    """What takes part in a meeting besides captions and transcript, in the order they are told."""
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
    return chosen
