"""FAMILY: the HTTP interfaces for clients, each over the same operations."""
