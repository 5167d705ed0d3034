"""The lesson forks."""
