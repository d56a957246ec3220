"""Who does not want to be heard is not: by an attribute of their own, or by the dispatch.

An attribute is what an application can set for its user, in their token or while they are in the
room; it holds from that instant, and can be taken back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

OPT_OUT_ATTRIBUTE = "tallyroom.opt_out"
_NO = frozenset({"", "0", "false", "no", "off"})


def has_opted_out(
    identity: str, attributes: Mapping[str, str], listed: Collection[str] = ()
) -> bool:
    """Whether a participant must not be heard; `listed` are the dispatch's identities.

    Whatever the attribute says that is not plainly a no is taken for a yes.
    """
    if identity in listed:
        return True
    return attributes.get(OPT_OUT_ATTRIBUTE, "").strip().lower() not in _NO
