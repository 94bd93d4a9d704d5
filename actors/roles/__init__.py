"""Who does what only one process may do: leaders by lease, and shards by assignment."""
