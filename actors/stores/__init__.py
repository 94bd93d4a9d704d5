"""FAMILY: where jobs, their history and the other records are kept."""
