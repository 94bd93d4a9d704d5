"""The door for humans: the `jobwire` command."""

from __future__ import annotations
