"""Evicting the KV cache: methods, sweeps, costs and what is lost."""
