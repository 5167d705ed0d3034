"""Panels of pruning effects."""
