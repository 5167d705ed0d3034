"""What every picture shares: colours of the two themes and the token strip's data."""
