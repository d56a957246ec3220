"""Statements as documents to send: HTML and PDF, from the same view of the same figures."""
