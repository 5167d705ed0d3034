"""The lesson reward."""
