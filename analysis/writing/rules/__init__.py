"""Rules from papers, said about tokens that were written: what each would do where, with its source and its constants."""
