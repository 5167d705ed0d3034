"""One measured forward pass. Nothing of size T x T or T x V is ever stored."""
