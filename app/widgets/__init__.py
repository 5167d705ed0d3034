"""Parts that many panels use."""
