"""How fast the training engine is, beside people's tools, on the same task and machine."""
