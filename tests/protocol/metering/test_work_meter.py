"""Work in no room, metered: a record of its own, equal to the provider's ledger."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import openai as openai_api
import pytest
from livekit.agents import APIConnectOptions, llm
from livekit.plugins import openai

from metering import MeterSettings, RequestTokens, WorkMeter
from metering.ledger.queries import cost_record
from metering.ledger.store import Ledger
from tests.providers.openai import OpenAIServer


async def ask(meter: WorkMeter, server: OpenAIServer) -> None:
    async with openai_api.AsyncClient(
        api_key="key",
        base_url=f"{server.origin}/v1",
        http_client=meter.http_client(),
        max_retries=0,
    ) as client:
        model = openai.LLM(model="gpt-4.1-mini", client=client)
        meter.watch(model)
        context = llm.ChatContext.empty()
        context.add_message(role="user", content="one two three")
        with meter.attribute(purpose="notes"):
            stream = model.chat(chat_ctx=context, conn_options=APIConnectOptions(max_retry=0))
        async for _ in stream:
            pass
        await stream.aclose()


async def test_it_is_a_record_of_its_own(tmp_path: Path) -> None:
    settings = MeterSettings(data_dir=tmp_path)
    async with (
        OpenAIServer(reply="two words") as server,
        WorkMeter("AJ_1.notes", settings=settings, tenant="acme") as meter,
    ):
        await ask(meter, server)
        assert meter.requests("notes") == [RequestTokens(3, 2)]
    async with Ledger(settings.ledger_url) as ledger:
        record = await cost_record(ledger, "AJ_1.notes")
    assert (record.tenant, record.status, record.room_name) == ("acme", "complete", "")
    assert {(used.meter, used.quantity, used.purpose, used.certainty) for used in record.usage} == {
        ("llm_input_tokens", Decimal(3), "notes", "exact"),
        ("llm_output_tokens", Decimal(2), "notes", "exact"),
    }
    assert record.list_cost == (3 * Decimal("0.4") + 2 * Decimal("1.6")) / 1_000_000
    assert list(settings.journals_path.glob("*.journal")) == []


async def fail_in_the_middle(settings: MeterSettings, server: OpenAIServer) -> None:
    async with WorkMeter("AJ_1.notes", settings=settings) as meter:
        await ask(meter, server)
        raise RuntimeError("somebody's words")


async def test_work_that_fails_is_on_record_with_what_it_used(tmp_path: Path) -> None:
    settings = MeterSettings(data_dir=tmp_path)
    async with OpenAIServer(reply="two words") as server:
        with pytest.raises(RuntimeError):
            await fail_in_the_middle(settings, server)
    async with Ledger(settings.ledger_url) as ledger:
        record = await cost_record(ledger, "AJ_1.notes")
    assert (record.status, record.error, len(record.usage)) == ("failed", "RuntimeError", 2)
