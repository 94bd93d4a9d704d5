"""FAMILY: where files can be brought from and to."""
