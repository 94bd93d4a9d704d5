"""What carries events: packets, awaited outcomes, and the names of queues and topics."""
