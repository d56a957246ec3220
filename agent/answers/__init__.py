"""Questions that are asked in a meeting, answered from what was said in it."""
