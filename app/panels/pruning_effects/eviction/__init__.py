"""Panels of eviction."""
