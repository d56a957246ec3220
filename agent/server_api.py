"""The way to LiveKit's server: which one, whether it answers, and what its refusals mean.

Every command that needs the server says the same one line when it is not there or refuses the key,
naming the variable to look at, and the worker says it before the framework begins to retry.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
from livekit import api

from .errors import DispatchError
from .settings import AgentSettings

_PROBE_SECONDS = 5.0
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def check_server(settings: AgentSettings) -> None:
    """Refuse settings that name no server.

    Raises:
        DispatchError: names the variables to set.
    """
    missing = [
        variable
        for variable, value in (
            ("LIVEKIT_URL", settings.livekit_url),
            ("LIVEKIT_API_KEY", settings.livekit_api_key),
            ("LIVEKIT_API_SECRET", settings.livekit_api_secret.get_secret_value()),
        )
        if not value
    ]
    if missing:
        raise DispatchError(f"set {', '.join(missing)}")


@asynccontextmanager
async def server_api(settings: AgentSettings) -> AsyncIterator[api.LiveKitAPI]:
    """The server's API; what goes wrong with it inside the block is a line for whoever asked.

    Raises:
        DispatchError: the settings name no server, it cannot be reached, or it refuses the key.
    """
    check_server(settings)
    try:
        # Too short a secret is the doctor's to tell; PyJWT's own warning names a file of ours.
        warnings.filterwarnings("ignore", message="The HMAC key is")
        async with api.LiveKitAPI(
            settings.livekit_url,
            settings.livekit_api_key,
            settings.livekit_api_secret.get_secret_value(),
        ) as livekit:
            yield livekit
    except api.TwirpError as error:
        raise DispatchError(f"{settings.livekit_url}: {twirp_advice(error)}") from None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise DispatchError(
            f"LIVEKIT_URL={settings.livekit_url!r} is no URL such as wss://my-project.livekit.cloud"
        ) from None
    except aiohttp.ClientConnectorError as error:
        code = error.os_error.errno or 0
        why = os.strerror(code) if code > 0 else str(error.os_error.strerror)
        raise DispatchError(_unreachable(settings, why)) from None
    except aiohttp.ClientError as error:
        raise DispatchError(_unreachable(settings, type(error).__name__)) from None


async def probe_server(settings: AgentSettings) -> int:
    """Ask the server something that needs its key; returns how many rooms are open.

    Raises:
        DispatchError: as `server_api`, or it has not answered within a few seconds.
    """
    try:
        async with asyncio.timeout(_PROBE_SECONDS), server_api(settings) as livekit:
            return len((await livekit.room.list_rooms(api.ListRoomsRequest())).rooms)
    except TimeoutError:
        raise DispatchError(_unreachable(settings, f"no answer in {_PROBE_SECONDS:g} s")) from None


def twirp_advice(error: api.TwirpError) -> str:
    """What a refusal of the server's API means for whoever runs Tallyroom."""
    if error.status in _REFUSED:
        return "the key is refused; check LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
    return f"{error.code}: {error.message}"


def _unreachable(settings: AgentSettings, why: str) -> str:
    return (
        f"{settings.livekit_url} cannot be reached: {why};"
        " check LIVEKIT_URL and that the server runs"
    )
