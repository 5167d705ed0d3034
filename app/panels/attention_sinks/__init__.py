"""Panels of attention sinks."""
