"""ACTOR: sends callbacks to their receivers."""
