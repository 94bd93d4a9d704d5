"""Writes the pages of the reference that say what the code says: one module for each page."""
