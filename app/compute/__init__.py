"""Requests, the one worker and the model it owns."""
