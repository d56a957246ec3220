"""Which provider's a socket is, and reading what it says without ever failing the plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from yarl import URL

from ..errors import UsageError
from .assemblyai_socket import AssemblyAIStreaming
from .deepgram_socket import DeepgramListen
from .inference_socket import InferenceSTT
from .openai_socket import OpenAITranscription
from .speech_socket import SpeechProtocol, SpeechSocket

Read = TypeVar("Read")

PROTOCOLS: tuple[SpeechProtocol, ...] = (
    DeepgramListen(),
    AssemblyAIStreaming(),
    OpenAITranscription(),
    InferenceSTT(),
)


def recognise(url: URL, response_headers: Mapping[str, str]) -> SpeechSocket | None:
    """The speech socket behind a request, or None if no known protocol fits."""
    for protocol in PROTOCOLS:
        if socket := protocol.recognise(url, response_headers):
            return socket
    return None


def hear(socket: SpeechSocket, message: str) -> UsageError | None:
    """Let a socket read a message of the provider's.

    What cannot be read is returned, never raised: the message goes on to the plugin whatever we
    make of it.
    """
    read = _read(socket, socket.received, message)
    return read if isinstance(read, UsageError) else None


def say(socket: SpeechSocket, message: str) -> int | UsageError:
    """Let a socket read a message of the client's: how many bytes of audio it carries.

    What cannot be read is returned, never raised.
    """
    return _read(socket, socket.sent, message)


def _read(socket: SpeechSocket, read: Callable[[str], Read], message: str) -> Read | UsageError:
    try:
        return read(message)
    except UsageError as error:
        return error
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        return UsageError(f"unreadable message from {socket.provider}: {type(error).__name__}")
