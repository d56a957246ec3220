"""Programs that measure what the meter costs; docs/benchmarks.md explains their tables.

Each prints what it ran on, how often, and medians or percentiles. None is a timed test: the figures
belong to the machine they were measured on.
"""
