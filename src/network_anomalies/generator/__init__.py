"""Synthetic traffic: who talks to whom (population), what flows when (day), what is staged (scenarios), and the truth.

Everything is drawn by integer random numbers from tables that are rounded once, so a seed and a date give the same
bits on every machine.
"""

from network_anomalies.generator.day import PlannedDay, draw_part, label_parts, plan_day
from network_anomalies.generator.truth import TRUTH_COLUMNS, find_keys

__all__ = ["TRUTH_COLUMNS", "PlannedDay", "draw_part", "find_keys", "label_parts", "plan_day"]
