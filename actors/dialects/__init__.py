"""FAMILY: the HTTP languages that clients speak, each over the same operations."""
