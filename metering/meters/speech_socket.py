"""What one STT socket carries, whichever provider's it is.

What is billed can be read off the wire: the provider from the path, model and paid features from
the query or from the client's first message, the audio from its bytes, the provider's own id and
its own figures from what it sends back. Reading them there needs no setting and cannot disagree
with what was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from yarl import URL

from ..usage import check_quantity, parse_decimal

_LINEAR16_BYTES_PER_SAMPLE = 2


@dataclass(slots=True)
class SpeechSocket:
    """What one STT socket carries.

    `bytes_per_second` is that of its audio, None where the encoding does not tell. What the
    provider states of the connection and of the audio in it are seconds, once it has sent them.
    """

    provider: str
    model: str
    attributes: dict[str, str] = field(default_factory=dict)
    bytes_per_second: int | None = None
    provider_ref: str | None = None
    stated_connection: Decimal | None = None
    stated_audio: Decimal | None = None

    def sent(self, message: str) -> int:
        """Take what the client asks for in one of its text messages.

        Returns:
            How many bytes of audio the message carries.
        """
        return 0

    def received(self, message: str) -> None:
        """Take what the provider says of itself from one of its messages."""

    def farewell(self) -> str | None:
        """What still has to be sent for the provider to stop billing, None for nothing."""
        return None

    @property
    def owes_statement(self) -> bool:
        """Whether the provider knows that it is over, and has yet to say what it comes to."""
        return False

    @property
    def exposure(self) -> Decimal:
        """For how many seconds at most the provider may bill on after the socket has gone."""
        return Decimal(0)


class SpeechProtocol(Protocol):
    """Recognises one provider's sockets."""

    def recognise(self, url: URL, response_headers: Mapping[str, str]) -> SpeechSocket | None:
        """The socket that this request opened, or None if it is not this provider's."""


def linear16(rate: object, channels: object = 1) -> int | None:
    """Bytes a second of 16-bit samples, None where rate or channels are no numbers."""
    try:
        samples = int(str(rate)) * int(str(channels))
    except ValueError:
        return None
    return samples * _LINEAR16_BYTES_PER_SAMPLE if samples > 0 else None


def is_true(asked: object) -> bool:
    """Whether a parameter asks for something, by any of the words that providers take for yes."""
    return str(asked).lower() in ("true", "1", "yes")


def exact_json(message: str) -> dict[str, Any]:
    """A message's object, its numbers as text so that no digit of them is lost.

    Raises:
        ValueError: not JSON.
        TypeError: JSON, but no object.
    """
    data = json.loads(message, parse_float=str, parse_int=str)
    if not isinstance(data, dict):
        raise TypeError(f"a {type(data).__name__} is no message")
    return data


def seconds(data: Mapping[str, Any], name: str, meter: str) -> Decimal | None:
    """The seconds that a message states under this name, None where it states none.

    Raises:
        UsageError: what is stated there can be no duration.
    """
    stated = parse_decimal(data.get(name), name)
    check_quantity(meter, name, stated or Decimal(0))
    return stated


def text(data: Mapping[str, Any], name: str) -> str | None:
    """A message's text under this name, None where there is none or it is no text."""
    value = data.get(name)
    return value if isinstance(value, str) and value else None


_BASE64_START = '"audio": "'


def base64_bytes(message: str) -> int:
    """How many bytes the message's base64 `audio` stands for; counted, not decoded.

    A message every 50 ms and speaker: parsing each would cost more than all the rest of metering.
    """
    start = message.find(_BASE64_START)
    if start < 0:
        found = json.loads(message).get("audio")
        encoded = found if isinstance(found, str) else ""
        return len(encoded) // 4 * 3 - encoded.count("=", -2)
    start += len(_BASE64_START)
    end = message.find('"', start)
    return max(0, (end - start) // 4 * 3 - message.count("=", max(start, end - 2), end))
