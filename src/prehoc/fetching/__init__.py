"""Models and data from the Hub or a mirror folder into the store: whole, pinned, checked by digest."""
