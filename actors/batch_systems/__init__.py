"""FAMILY: what starts, shows and ends jobs on a host; text in, text out."""
