"""Signatures as every other implementation of the specification makes them."""

from __future__ import annotations

import pytest

from metering.errors import SettingsError
from metering.webhooks.signing import parse_secret, sign

# The example of the specification's reference libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_reference_libraries_example() -> None:
    assert sign([parse_secret(SECRET)], ID, TIMESTAMP, BODY) == SIGNATURE


def test_each_key_signs_so_that_keys_can_be_rotated() -> None:
    new = bytes(range(32))
    signed = sign([parse_secret(SECRET), new], ID, TIMESTAMP, BODY)
    assert signed == f"{SIGNATURE} {sign([new], ID, TIMESTAMP, BODY)}"


@pytest.mark.parametrize(
    ("webhook_id", "timestamp", "body"),
    [("msg_other", TIMESTAMP, BODY), (ID, TIMESTAMP + 1, BODY), (ID, TIMESTAMP, BODY + b" ")],
)
def test_all_of_it_is_signed(webhook_id: str, timestamp: int, body: bytes) -> None:
    assert sign([parse_secret(SECRET)], webhook_id, timestamp, body) != SIGNATURE


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_?",
        "whsec_c2hvcnQ=",
        "whsec_" + "A" * 88,
    ],
)
def test_what_is_no_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError, match="TALLYROOM_WEBHOOK_SECRET must be") as refused:
        parse_secret(secret)
    assert len(secret) < 8 or secret not in str(refused.value)
