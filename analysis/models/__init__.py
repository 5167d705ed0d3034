"""Models: what to load, loading it, finding its parts, and what a run will cost."""
