"""Many days: how far each is, and one run for each that something is missing of."""
