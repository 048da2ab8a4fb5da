"""The registry: what was ingested, by which run, and which objects are current."""
