"""Why entries are missing, and what follows if they are not missing at random."""
