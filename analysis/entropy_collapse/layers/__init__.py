"""Entropy collapse over layers: matrix entropy of the token states."""
