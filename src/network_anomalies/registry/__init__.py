"""The registry: runs, batches, stages, models and alerts, and which objects are current."""
