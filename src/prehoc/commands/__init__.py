"""The commands of `prehoc`, a module a stage: each reads files, calls one function, writes files."""
