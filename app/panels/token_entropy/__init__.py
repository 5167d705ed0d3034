"""Panels of token entropy."""
