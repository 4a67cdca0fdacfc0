"""Readers of other people's training logs into the runs table."""
