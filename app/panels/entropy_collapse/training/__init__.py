"""Panels of training."""
