"""The papers that Logitscope shows: one file of citations, how source lines cite them, and BibTeX."""
