"""Signatures by the Standard Webhooks specification (symmetric, `v1`), version 1.0.0.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from ..errors import SettingsError

_PREFIX = "whsec_"
_FEWEST_BYTES, _MOST_BYTES = 24, 64
"""As the specification wants a secret to be."""


def parse_secret(text: str) -> bytes:
    """The key that a secret such as `whsec_...` spells in base64.

    Raises:
        SettingsError: it is none, or too short to be one; the message does not show it.
    """
    try:
        if not text.startswith(_PREFIX):
            raise ValueError
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        if not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
            raise ValueError
    except (ValueError, binascii.Error):
        raise SettingsError(
            f"TALLYROOM_WEBHOOK_SECRET must be {_PREFIX} and {_FEWEST_BYTES} to {_MOST_BYTES}"
            f" random bytes in base64, such as `echo {_PREFIX}$(openssl rand -base64 32)` prints"
        ) from None
    return key


def sign(keys: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature for each key, so that keys can be rotated.

    Args:
        keys: what the receiver may know one of.
        webhook_id: the value of `webhook-id`.
        timestamp: the value of `webhook-timestamp`: seconds since the epoch, of this attempt.
        body: what is sent, to the byte.
    """
    signed = b".".join((webhook_id.encode(), str(timestamp).encode(), body))
    return " ".join(
        f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}" for key in keys
    )
