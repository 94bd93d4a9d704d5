"""ACTOR: tells whoever asked to be told."""
