"""The cache engine: a context read once, and what follows it with parts of its cache gone."""
