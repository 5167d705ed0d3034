"""Command line: measure on a machine without a browser, open the file anywhere."""
