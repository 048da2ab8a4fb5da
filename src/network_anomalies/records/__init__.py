"""Typed values that nodes, stages and stores exchange."""
