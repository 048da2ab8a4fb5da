"""Many days: which of them the registry misses, and one run for each of those."""
