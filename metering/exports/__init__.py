"""Months for other systems, in formats that they define."""
