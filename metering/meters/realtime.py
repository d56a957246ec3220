"""What a realtime session's plugin does not report: responses that it discards, or never hears out.

The OpenAI plugin passes the server's own events on, each before it handles it itself. A response
that its caller gave up before it began is answered and billed all the same, and dropped by the
plugin without a word; one that was under way when the connection broke never states its usage.
https://platform.openai.com/docs/api-reference/realtime-server-events/response/done
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from livekit.agents import llm, metrics
from pydantic import ValidationError

Report = Callable[[metrics.RealtimeModelMetrics], None]


class ResponseWatch:
    """Follows the responses of one session; `report` takes those that the plugin does not tell of.

    `begun` is called with the id of each that begins, `over` once it has been reported. A session
    of another plugin passes no such events on, and is not followed.
    """

    def __init__(
        self,
        session: llm.RealtimeSession[Any],
        report: Report,
        *,
        begun: Callable[[str], None],
        over: Callable[[str], None],
    ) -> None:
        self._model = session.realtime_model
        self._report = report
        self._begun = begun
        self._over = over
        self._done: dict[str, dict[str, Any]] = {}
        self._told: set[str] = set()
        session.on("openai_server_event_received", self._heard)

    def told(self, response_id: str) -> None:
        """The plugin has reported this one."""
        if self._done.pop(response_id, None) is not None:
            self._told.add(response_id)

    def _heard(self, event: Any) -> None:
        kind = event.get("type") if isinstance(event, dict) else None
        if kind not in ("response.created", "response.done"):
            return
        response = event.get("response")
        response_id = response.get("id") if isinstance(response, dict) else None
        if not isinstance(response_id, str):
            return
        if kind == "response.created":
            self._begun(response_id)
            return
        self._done[response_id] = response
        # The plugin handles it as soon as this has returned, before anything else can run.
        asyncio.get_running_loop().call_soon(self._tell, response_id)

    def _tell(self, response_id: str) -> None:
        if response_id in self._told:
            self._told.discard(response_id)
            self._over(response_id)
            return
        response = self._done.pop(response_id, None)
        usage = response.get("usage") if response else None
        if not isinstance(usage, dict):
            return
        details = metrics.RealtimeModelMetrics
        try:
            into = details.InputTokenDetails.model_validate(usage.get("input_token_details") or {})
            out = details.OutputTokenDetails.model_validate(usage.get("output_token_details") or {})
        except ValidationError:
            return
        self._report(
            metrics.RealtimeModelMetrics(
                label=self._model.label,
                request_id=response_id,
                timestamp=time.time(),
                input_token_details=into,
                output_token_details=out,
                metadata=metrics.base.Metadata(
                    model_name=self._model.model, model_provider=self._model.provider
                ),
            )
        )
        self._over(response_id)
