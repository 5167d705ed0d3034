"""How the shipped model was trained, and how to train it again: ``python -m analysis.visual_tokens.training``."""
