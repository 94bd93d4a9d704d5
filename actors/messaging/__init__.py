"""What carries events: posting and packing them, their outcomes, and the feed of entries."""
