"""Parts of pages: prompt, run status, figure card, token strip."""
