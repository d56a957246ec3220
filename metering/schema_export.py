"""The cost record's JSON schema, as it is published in docs/: `python -m metering.schema_export`.

Whoever reads our JSON builds on this file. A test holds it to the models.
"""

from __future__ import annotations

import json
import sys

from .record import CostRecord


def cost_record_schema() -> str:
    """The schema's text, JSON with a trailing newline."""
    schema = CostRecord.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(cost_record_schema())
