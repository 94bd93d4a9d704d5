"""The words of the system and the pure rules about them: no I/O, no clock, no logging."""
