"""Attention sinks: where every head of every layer looks, and what it leans on."""
