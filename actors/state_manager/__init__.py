"""ACTOR: the only writer of jobs. Turns events into entries and entries into jobs."""
