"""The named detectors: what an attack of a known kind looks like."""
