"""A thousand random connections and requests with faults: every instance equals the bill's.

Each ledger is its provider's own. The seed of a run is in its name, and repeats its work.
"""

from __future__ import annotations

import asyncio
import gc
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from decimal import Decimal

import pytest

from metering.meters.handshakes import SOURCE as HANDSHAKE
from metering.usage import Certainty, Usage
from tests.protocol.metering.stalls import Stalls
from tests.protocol.metering.work import PATIENCE_SECONDS, Providers, Work
from tests.providers.assemblyai import BilledSession
from tests.providers.openai import BilledCompletion, BilledSpeech
from tests.providers.speech import BilledConnection
from tests.recording import Recording

pytestmark = pytest.mark.soak

PIECES = 1_200
AT_ONCE = 20
TOLERANCE_SECONDS = 0.05
FEW = 0.1
"""The share of connections whose rounding may be too near to a step to be compared."""
FEWER = 0.1
"""The share of connections that may have been stamped while the process was not running."""


class Bill:
    """What one run used, by us and by the providers."""

    def __init__(self, providers: Providers, usages: Iterable[Usage]) -> None:
        self.providers = providers
        self.by_instance: dict[tuple[str, str], dict[str, Usage]] = defaultdict(dict)
        for usage in usages:
            assert usage.meter not in self.by_instance[usage.provider, usage.instance_id]
            self.by_instance[usage.provider, usage.instance_id][usage.meter] = usage

    def instances(self, provider: str, meter: str) -> list[dict[str, Usage]]:
        """A provider's instances that have this meter, in the order in which they began."""
        found = [
            meters
            for (whose, _), meters in self.by_instance.items()
            if whose == provider and meter in meters
        ]
        return sorted(found, key=lambda meters: meters[meter].started_at)


@pytest.fixture(scope="module", params=[1971, 20_261_121])
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
async def warm() -> AsyncIterator[None]:
    """What is imported at first use is imported, and is not gone through by the collector again.

    A full collection stops the loop for 80 to 200 ms with all that a test run has loaded, and so
    whichever of provider and meter has not yet stamped an instant that both see.
    """
    async with Providers.running() as providers:
        work = Work(providers, Recording(), random.Random(0))
        await work.do(60, at_once=AT_ONCE)
        await work.close()
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.timeout(180)
async def test_every_instance_is_one_in_the_ledger(seed: int, warm: None) -> None:
    rng, recording = random.Random(seed), Recording()
    async with Stalls.watched() as stalls, Providers.running() as providers:
        providers.plan_faults(rng, PIECES)
        work = Work(providers, recording, rng)
        await work.do(PIECES, at_once=AT_ONCE)
        await work.close()
        async with asyncio.timeout(10):
            while not _all_closed(providers):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        work.connections.close()
    run = recording.run()
    assert all(usage.certainty is not Certainty.PARTIAL for usage in run.usages)
    bill = Bill(providers, run.usages)

    # The ledgers are on the monotonic clock, ours is on the run's UTC.
    apart = recording.recorder.clock.stamp().timestamp() - time.monotonic()
    connections = near_a_step = stalled = 0
    for provider, server in (
        ("deepgram", providers.deepgram),
        ("assemblyai", providers.assemblyai),
        ("livekit", providers.inference),
        ("openai", providers.realtime),
    ):
        for billed, meters in _paired(
            server.connections, bill.instances(provider, "stt_connection"), apart
        ):
            connections += 1
            assert billed.closed_at is not None
            stall = stalls.at(billed.opened_at) + stalls.at(billed.closed_at)
            off = abs(float(meters["stt_connection"].quantity) - billed.connection_seconds)
            # Excused by what was measured, and by no more than that.
            stalled += off > TOLERANCE_SECONDS
            tolerance = max(TOLERANCE_SECONDS, off if off <= TOLERANCE_SECONDS + stall else 0.0)
            near_a_step += _check_connection(billed, meters, tolerance)
    _check_items(bill)
    requests = _check_completions(bill) + _check_speeches(bill)

    print(
        f"{connections} connections, {requests} requests; {near_a_step} too near to a step,"
        f" {stalled} stamped while the process stood still"
    )
    assert connections + requests >= 1_000
    assert near_a_step <= FEW * connections
    assert stalled <= FEWER * connections
    assert sum(len(meters) for meters in bill.by_instance.values()) == len(run.usages)
    # What has been compared is all there is.
    items = len(providers.realtime.items)
    given_up = sum(
        meters["stt_connection"].source == HANDSHAKE
        for meters in bill.by_instance.values()
        if "stt_connection" in meters
    )
    assert len(bill.by_instance) == connections + given_up + requests + items


def _all_closed(providers: Providers) -> bool:
    return all(
        billed.closed_at is not None
        for server in (*providers.speech, providers.realtime)
        for billed in server.connections
    )


def _paired(
    ledger: list[BilledConnection], ours: list[dict[str, Usage]], apart: float
) -> list[tuple[BilledConnection, dict[str, Usage]]]:
    """By the provider's id where it came through, the rest by when they began.

    What the ledger has besides was accepted, and given up before we could read that it was: each
    is a handshake of ours, and within its bounds. Most such handshakes no provider has accepted.
    """
    given_up = [m for m in ours if m["stt_connection"].source == HANDSHAKE]
    ours = [m for m in ours if m["stt_connection"].source != HANDSHAKE]
    by_ref = {meters["stt_connection"].provider_ref: meters for meters in ours}
    nameless = [meters for meters in ours if meters["stt_connection"].provider_ref is None]
    pairs = [
        (billed, by_ref[billed.request_id]) for billed in ledger if billed.request_id in by_ref
    ]
    rest = [billed for billed in ledger if billed.request_id not in by_ref]
    for meters in nameless:
        began = _began(meters) - apart
        nearest = min(rest, key=lambda billed: abs(billed.opened_at - began))
        rest.remove(nearest)
        pairs.append((nearest, meters))
    for billed in rest:
        handshake = next(
            meters["stt_connection"]
            for meters in given_up
            if 0 <= billed.opened_at - (_began(meters) - apart) <= PATIENCE_SECONDS * 2
        )
        assert handshake.certainty is Certainty.ESTIMATED
        assert handshake.quantity_upper is not None
        assert billed.connection_seconds <= float(handshake.quantity_upper) + TOLERANCE_SECONDS
        given_up.remove({"stt_connection": handshake})
    assert len(pairs) == len(ours)
    return pairs


def _began(meters: dict[str, Usage]) -> float:
    return meters["stt_connection"].started_at.timestamp()


def _check_connection(billed: BilledConnection, meters: dict[str, Usage], tolerance: float) -> bool:
    """Whether its seconds were too near to a step for their rounding to be compared."""
    life, sound = meters["stt_connection"], meters.get("stt_audio")
    assert life.provider_ref in (None, billed.request_id)
    assert float(life.quantity) == pytest.approx(billed.connection_seconds, abs=tolerance)
    if life.certainty is Certainty.BOUNDED:
        assert isinstance(billed, BilledSession)
        assert life.quantity_lower is not None
        assert life.quantity_upper is not None
        assert float(life.quantity_lower) <= billed.billed_seconds + tolerance
        assert billed.billed_seconds <= float(life.quantity_upper) + tolerance
    else:
        assert life.certainty is Certainty.EXACT
        if isinstance(billed, BilledSession):
            assert billed.billed_seconds == billed.connection_seconds
    if isinstance(billed, BilledSession) and life.provider_stated is not None:
        assert life.provider_stated == Decimal(str(billed.stated_seconds))
    if sound is not None:
        _check_sound(billed, sound)
    elif life.provider != "openai":
        assert billed.audio_bytes == 0
    # However short it was, it is billed a second: 0 is no step.
    step = max(1, round(billed.connection_seconds))
    if abs(billed.connection_seconds - step) <= tolerance:
        return True
    assert math.ceil(life.quantity) == math.ceil(billed.connection_seconds)
    return False


def _check_sound(billed: BilledConnection, sound: Usage) -> None:
    truth = Decimal(billed.audio_bytes) / billed.bytes_per_second
    if sound.certainty is Certainty.EXACT and not billed.fault.breaks_at(billed.audio_bytes):
        assert sound.quantity == truth
        assert sound.provider_stated in (None, truth)
    else:
        # Some of it was on its way when the provider cut the connection.
        assert (sound.quantity_lower or 0) <= truth <= (sound.quantity_upper or sound.quantity)


def _check_items(bill: Bill) -> None:
    """OpenAI's transcriptions, which its plugin gives no id."""
    ours = bill.instances("openai", "stt_input_tokens")
    assert Counter(
        (
            meters["stt_input_tokens"].quantity,
            meters["stt_output_tokens"].quantity,
            meters["stt_audio"].quantity,
        )
        for meters in ours
    ) == Counter(
        (Decimal(item.input_tokens), Decimal(item.output_tokens), Decimal(item.audio_ms) / 1000)
        for item in bill.providers.realtime.items
    )
    assert len(ours) > 10


def _check_completions(bill: Bill) -> int:
    ours: dict[str, list[dict[str, Usage]]] = defaultdict(list)
    for meters in bill.instances("openai", "llm_input_tokens"):
        ours[meters["llm_input_tokens"].participant or ""].append(meters)
    ledger: dict[str, list[BilledCompletion]] = defaultdict(list)
    for billed in bill.providers.openai.completions:
        ledger[billed.asked.split()[0]].append(billed)
    assert ours.keys() == ledger.keys()
    certainties: Counter[Certainty] = Counter()
    for name, completions in ledger.items():
        for billed, meters in zip(completions, ours[name], strict=True):
            certainties[_check_completion(billed, meters)] += 1
    assert certainties[Certainty.EXACT] > 50 < certainties[Certainty.ESTIMATED]
    return certainties.total()


def _check_completion(billed: BilledCompletion, meters: dict[str, Usage]) -> Certainty:
    truth = {
        "llm_input_tokens": billed.input_tokens,
        "llm_output_tokens": billed.output_tokens,
    }
    asked = meters["llm_input_tokens"]
    assert asked.provider_ref in (None, billed.request_id)
    if asked.certainty is Certainty.EXACT:
        assert asked.provider_ref == billed.request_id
        truth["llm_cached_input_tokens"] = billed.cached_tokens
        truth["llm_reasoning_tokens"] = billed.reasoning_tokens
        assert {meter: usage.quantity for meter, usage in meters.items()} == truth
    else:
        assert meters.keys() == truth.keys()
        for meter, usage in meters.items():
            assert usage.certainty is Certainty.ESTIMATED
            assert usage.quantity_lower is not None
            assert usage.quantity_upper is not None
            assert usage.quantity_lower <= truth[meter] <= usage.quantity_upper
    return asked.certainty


def _check_speeches(bill: Bill) -> int:
    ours = {
        meters["tts_characters"].participant or "": meters
        for meters in bill.instances("openai", "tts_characters")
    }
    ledger: dict[str, BilledSpeech] = {
        billed.text.split()[0]: billed for billed in bill.providers.openai.speeches
    }
    assert len(ledger) == len(bill.providers.openai.speeches)
    assert len(ours) == len(bill.instances("openai", "tts_characters"))
    assert ours.keys() == ledger.keys()
    for name, billed in ledger.items():
        said = ours[name]["tts_characters"]
        assert said.quantity == billed.characters
        if said.certainty is not Certainty.EXACT:
            assert (said.quantity_lower, said.quantity_upper) == (
                Decimal(0),
                Decimal(billed.characters),
            )
    return len(ledger)
