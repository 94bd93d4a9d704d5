"""What only one process at a time may do: leaders by lease, shards by assignment."""
