"""Entropy collapse over training: logs, the law, onset."""
