"""The page Visual tokens."""
