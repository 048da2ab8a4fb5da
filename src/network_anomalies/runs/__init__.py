"""A run's identity, configuration, stages, inputs and code version."""
