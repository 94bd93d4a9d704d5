"""The shell: the actors that do I/O, and the families of parts that they use."""
