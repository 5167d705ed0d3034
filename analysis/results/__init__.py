"""What a run says: plain numpy arrays and values, no model, no plotting."""
