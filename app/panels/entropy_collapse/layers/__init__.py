"""Panels of layers."""
