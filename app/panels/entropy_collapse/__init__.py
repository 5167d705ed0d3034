"""Panels of entropy collapse."""
