"""Usage that others have measured, from a file: all of it, or a list of the rows that are wrong.

Whoever back-fills a ledger has one chance to notice that a column was in minutes. So every row is
checked before the first is stored, each with the line it stands on, and the file is stored in one
transaction. It may be larger than memory: between checking and storing its rows wait on disk.
"""
