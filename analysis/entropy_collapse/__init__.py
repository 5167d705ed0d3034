"""Entropy collapse: what the layers do to a text. The logit lens lives here for now."""
