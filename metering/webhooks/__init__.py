"""Telling other software what became of a meeting, signed: see docs/webhooks.md."""
