"""Every picture as a function of a result; the names a notebook uses after ``an.figures``."""
