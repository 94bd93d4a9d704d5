"""Jobwire: event-driven job control."""
