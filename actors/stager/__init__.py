"""ACTOR: brings files in before a job starts, out when it has ended, and cleans up after it."""
