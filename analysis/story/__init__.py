"""One token of a run, told across the pictures: expected, attended to, kept and forgotten."""
