"""How large each LLM request of a run has been, so that an agent can stop before a ceiling.

The journal is for the bill, and folding it is too much work for a question that comes before every
request: here are two numbers for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .request_billing import RequestTokens
from .usage import Usage

_INPUT, _OUTPUT = "llm_input_tokens", "llm_output_tokens"


@dataclass(slots=True)
class _Request:
    purpose: str
    tokens: dict[str, int] = field(default_factory=dict)


class RequestLog:
    """Kept by the recorder; what was never reported counts with the most that it can be."""

    def __init__(self) -> None:
        self._requests: dict[str, _Request] = {}

    def take(self, usage: Usage, *, instead_of: str | None = None) -> None:
        """A request's tokens, as far as they are known; later ones replace what was there.

        `instead_of` is the id that it went by until now.
        """
        if usage.meter not in (_INPUT, _OUTPUT):
            return
        if instead_of is not None and instead_of != usage.instance_id:
            self.drop(instead_of, (usage.meter,))
        request = self._requests.setdefault(usage.instance_id, _Request(usage.purpose))
        most = usage.quantity if usage.quantity_upper is None else usage.quantity_upper
        request.tokens[usage.meter] = -int(-most // 1)

    def drop(self, instance_id: str, meters: Iterable[str]) -> None:
        """It was not billed, or goes by another id."""
        request = self._requests.get(instance_id)
        if request is None:
            return
        for meter in meters:
            request.tokens.pop(meter, None)
        if not request.tokens:
            del self._requests[instance_id]

    def of(self, purpose: str) -> list[RequestTokens]:
        """Every request of a purpose, those in flight too."""
        return [
            RequestTokens(request.tokens.get(_INPUT, 0), request.tokens.get(_OUTPUT, 0))
            for request in self._requests.values()
            if request.purpose == purpose
        ]
