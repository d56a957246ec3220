"""The JSON schemas that are published in docs/: `python -m metering.schema_export [statement]`.

Whoever reads our JSON builds on these files. A test holds them to the models.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pydantic import BaseModel

from .record import CostRecord
from .reports.statement_record import PrintedStatement


def cost_record_schema() -> str:
    """The cost record's: the text, JSON with a trailing newline."""
    return _schema(CostRecord)


def statement_schema() -> str:
    """The statement's, likewise."""
    return _schema(PrintedStatement)


SCHEMAS: Mapping[str, Callable[[], str]] = MappingProxyType(
    {"cost_record": cost_record_schema, "statement": statement_schema}
)
"""By the name of their file in docs/."""


def _schema(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(SCHEMAS[sys.argv[1] if len(sys.argv) > 1 else "cost_record"]())
