"""The lesson forgetting."""
