"""What a model can forget, by which rule, and what that does to its next predictions."""
