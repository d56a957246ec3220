"""The published schemas are those of the models, and what is printed has exactly their fields."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metering.schema_export import SCHEMAS

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_published_is_what_the_models_say(name: str) -> None:
    published = (ROOT / "docs" / f"{name}.schema.json").read_text("utf-8")
    assert published == SCHEMAS[name]()


def test_they_are_printed_by_name() -> None:
    command = [sys.executable, "-m", "metering.schema_export"]
    for arguments, name in (([], "cost_record"), (["statement"], "statement")):
        printed = subprocess.run(
            [*command, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
        )
        assert printed.stdout == SCHEMAS[name]()


def test_quantities_and_money_are_texts() -> None:
    schema: dict[str, Any] = json.loads(SCHEMAS["statement"]())
    for name in ("total", "due", "rounding", "exact_total", "prepaid_left"):
        assert schema["properties"][name]["type"] == "string"
        assert schema["properties"][name]["pattern"] == r"^-?\d+(\.\d+)?$"
    assert "number" not in json.dumps(schema)
    assert {"by", "groups"} == set(schema["properties"]) - set(schema["required"])
