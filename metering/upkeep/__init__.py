"""Keeping the records: checked, backed up, restored, pruned."""
