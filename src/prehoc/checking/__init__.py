"""`prehoc check-task`: a look at a task's data and ten steps of two seeds, before anyone pays for more."""
