"""FAMILY: the message bus between the actors."""
