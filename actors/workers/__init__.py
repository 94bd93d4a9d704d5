"""What every worker shares: the commands that it consumes, and its gateway to the jobs."""
