"""Write: what the model chooses, and what else it could have said."""
