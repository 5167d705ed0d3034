"""Token entropy: how unsure the model was just before each token."""
