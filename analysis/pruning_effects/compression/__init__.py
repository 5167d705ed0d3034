"""Prompt compression: text in, shorter text out, the model untouched. One method per file."""
