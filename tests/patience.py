"""How long a test waits for what happens at once unless something is broken."""

PATIENCE = 300.0
"""Seconds. No test measures time: this only ends one that would hang, on however busy a machine."""
