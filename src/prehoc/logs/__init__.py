"""Readers of other people's training logs into the runs table: one module a tool.

A reader makes `run.Run`s, raw as the tool logged them; `assemble` picks the metric, names tasks, numbers
seeds and makes the two tables.  `kinds` lists the tools.
"""
