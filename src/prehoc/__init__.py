"""prehoc: how predictable a fine-tune is, and how deep to probe before deciding."""
