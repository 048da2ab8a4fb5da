"""What a run is about: its identity, configuration, stages, inputs and code version."""
