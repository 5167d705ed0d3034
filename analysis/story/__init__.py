"""One token of a run, told across the pictures: expected, looked at, kept and forgotten."""
