"""Whether many seeds trained by prehoc are distributed as the same task trained by people's tools."""
