"""Entropy collapse: what the layers do to a text."""
