"""Meters work that is done in no room: an LLM that reads a transcript again, days later.

Its usage is a record of its own, of the day it was used on. A meeting's record is closed, and its
month may have been billed.
"""

from __future__ import annotations

import asyncio
import importlib
import uuid
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .clock import RunClock
from .journal import SUFFIX, JournalWriter
from .meters.attribution import attribution
from .meters.models import ModelMeter, Watched
from .meters.requests import RequestMeter
from .recorder import Recorder
from .request_billing import RequestTokens
from .run import RunInfo, Status
from .settings import MeterSettings

if TYPE_CHECKING:
    import httpx2


class WorkMeter:
    """An async context manager; when it is left, the work stands in the store, rated.

    `job_id` names the record and must be new. Work that cannot be metered is not begun.

    Raises:
        JournalError: its journal cannot be written.
        SettingsError: a setting of the meter cannot be used.
    """

    def __init__(
        self,
        job_id: str,
        *,
        settings: MeterSettings | None = None,
        tenant: str = "",
        tags: Iterable[str] = (),
    ) -> None:
        self._settings = settings or MeterSettings.load()
        self._clock = RunClock()
        self.info = RunInfo(
            run_id=f"run_{uuid.uuid4().hex}",
            job_id=job_id,
            tenant=tenant,
            tags=tuple(tags),
            hosting=self._settings.resolved_hosting,
            plan=self._settings.resolved_plan,
            started_at=self._clock.began_at,
        )
        self._recorder = Recorder(
            self.info.run_id, self._clock, lambda entry: self._journal.append(entry)
        )
        path = self._settings.journals_path / f"{self.info.run_id}{SUFFIX}"
        self._journal = JournalWriter(path, beat=self._recorder.beat)
        self._journal.append(self.info.to_entry())
        self._requests = RequestMeter(self._recorder)
        self._models = ModelMeter(self._recorder, requests=self._requests)

    def http_client(self, **options: Any) -> httpx2.AsyncClient:
        """As `JobMeter.http_client`."""
        return self._requests.http_client(**options)

    def watch(self, *used: Watched, provider: str | None = None) -> None:
        """As `JobMeter.watch`."""
        for one in used:
            self._models.watch(one, provider=provider)

    def attribute(
        self, *, participant: str | None = None, purpose: str | None = None
    ) -> AbstractContextManager[None]:
        """As `JobMeter.attribute`."""
        return attribution(participant=participant, purpose=purpose)

    def requests(self, purpose: str) -> list[RequestTokens]:
        """As `JobMeter.requests`."""
        return self._recorder.requests.of(purpose)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Settle it.

        Raises:
            MeteringError: the store cannot take it; the journal is kept for the sweeper.
        """
        try:
            self._requests.close()
            self._recorder.close_all()
            self._journal.append(
                {
                    "kind": "end",
                    "at": self._clock.elapsed_us(),
                    "status": Status.FAILED if error else Status.COMPLETE,
                    "error": type(error).__name__ if error else "",
                }
            )
            await asyncio.to_thread(self._journal.finish)
            sweeping = await asyncio.to_thread(importlib.import_module, "metering.sweeping")
            await asyncio.to_thread(sweeping.settle_at_end, self._journal, self._settings)
        finally:
            self._journal.release()
