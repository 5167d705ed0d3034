"""The lesson surprise."""
