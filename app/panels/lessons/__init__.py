"""Panels of lessons."""
