"""Methods that choose which visual tokens stay: one a file, from formulas, each with its source and where it differs."""
