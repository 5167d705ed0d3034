"""Panels of backcopy."""
