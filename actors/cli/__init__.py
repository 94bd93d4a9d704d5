"""The command-line interface: the `jobwire` command."""

from __future__ import annotations
