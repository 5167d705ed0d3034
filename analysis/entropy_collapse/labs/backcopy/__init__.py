"""A sink that forms step by step."""
