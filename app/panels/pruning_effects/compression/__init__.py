"""Panels of compression."""
