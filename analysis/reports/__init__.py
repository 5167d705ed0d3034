"""Reports: a result as one HTML file that opens anywhere, without a server, a network or a model."""
