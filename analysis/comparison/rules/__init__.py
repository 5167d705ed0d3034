"""Rules from papers over two sides, one per file."""
