"""The lesson first token."""
