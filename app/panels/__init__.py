"""The panels of every page, one folder per picture."""
