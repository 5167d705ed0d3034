"""Two sides of one thing, token by token: aligned, compared over the whole vocabulary, and what rules make of it."""
