"""Notes of a meeting: what was decided, who does what, what is open, each pointing at its words."""
