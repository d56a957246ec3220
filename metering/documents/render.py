"""A statement's view through its templates: HTML as one file, PDF as bytes."""

from __future__ import annotations

import json
from datetime import datetime
from importlib import resources

from ..errors import DocumentError
from .statement_view import StatementView

_INSTALL = "install tallyroom[documents]"


def html(view: StatementView) -> str:
    """One file that needs no other: style and chart are in it, and no script is.

    Raises:
        DocumentError: what makes it is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise DocumentError(f"HTML needs jinja2: {_INSTALL}") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_template("statement.html.jinja")).render(view=view)


def pdf(view: StatementView, made_at: datetime) -> bytes:
    """A4; the same view made at the same time gives the same bytes.

    Raises:
        DocumentError: what makes it is not installed.
    """
    try:
        import typst
    except ImportError as error:
        raise DocumentError(f"PDF needs typst: {_INSTALL}") from error
    made = typst.compile(
        _template("statement.typ").encode(),
        sys_inputs={"view": json.dumps(view.to_json())},
        # What a machine has installed must not change a document.
        ignore_system_fonts=True,
        timestamp=int(made_at.timestamp()),
    )
    return bytes(made)


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
