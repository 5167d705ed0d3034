"""The lesson variety."""
