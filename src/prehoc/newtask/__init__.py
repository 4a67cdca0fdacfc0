"""`prehoc new-task`: from a file of a user's own to a task block that runs.  No torch, no network."""
