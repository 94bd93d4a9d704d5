"""The documentation as a test: every snippet runs, every link leads somewhere."""
