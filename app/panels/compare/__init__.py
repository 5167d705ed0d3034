"""Compare: two sides that differ in one thing, token by token."""
