"""Credits and deposits, as an owner writes them down."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from metering.errors import RateError
from metering.pricing.account import Account, Deposit, Grant, load_account
from metering.pricing.plans import Credit

WRITTEN = """
[[credit]]
name = "launch"
amount = "500"
date = 2026-10-15
expires = 2026-12-31
providers = ["livekit"]
meters = ["stt_connection"]
note = "from the sales call"

[[credit]]
name = "launch"
amount = "20"
currency = "EUR"
tenant = "acme"

[[prepaid]]
amount = "1000.50"
date = 2026-11-02
"""


def loaded(folder: Path, text: str) -> Account:
    path = folder / "rates.toml"
    path.write_text(text)
    return load_account(path)


def test_what_is_written_down(tmp_path: Path) -> None:
    account = loaded(tmp_path, WRITTEN)
    launch = Credit(
        "launch",
        Decimal(500),
        frozenset({"livekit"}),
        frozenset({"stt_connection"}),
        date(2026, 12, 31),
        "USD",
    )
    assert account.of("").grants == (Grant(launch, date(2026, 10, 15), ""),)
    assert account.of("").deposits == (Deposit(Decimal("1000.50"), "USD", date(2026, 11, 2), ""),)
    [grant] = account.of("acme").grants
    assert (grant.credit.currency, grant.since, account.of("acme").deposits) == ("EUR", None, ())
    assert load_account(None) == Account()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[credit]]\nname = "a"\namount = 5\n', r"rates.toml:3: .* amount 5 must be a decimal"),
        ('[[credit]]\nname = "a"\namount = "-5"\n', "must not be negative"),
        ('[[credit]]\nname = "a"\namount = "5"\ncurrency = "US"\n', r":4: .*'US' is no ISO 4217"),
        (
            '[[credit]]\nname = "a"\namount = "5"\n[[credit]]\nname = "a"\namount = "6"\n',
            r"rates.toml:5: \[\[credit\]\] 2 \(a\): there is a credit 'a' already",
        ),
        (
            '[[credit]]\nname = "a"\namount = "5"\ndate = 2026-11-02\nexpires = 2026-11-01\n',
            "it expires on 2026-11-01, before it is given on 2026-11-02",
        ),
        ('[[credit]]\nname = "a"\namount = "5"\nmeter = ["x"]\n', "did you mean 'meters'"),
        ('[[prepaid]]\namount = "5"\n', "date is missing"),
        ("[[prepaid]]\ndate = 2026-11-01\n", "amount is missing"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RateError, match=said):
        loaded(tmp_path, text)
