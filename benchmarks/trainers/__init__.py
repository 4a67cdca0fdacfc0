"""The same task trained by people's tools and by prehoc."""
