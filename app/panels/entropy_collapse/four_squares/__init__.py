"""Panels of four squares."""
