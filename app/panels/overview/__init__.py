"""Panels of overview."""
