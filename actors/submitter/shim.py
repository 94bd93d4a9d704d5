"""The shim: the script that runs every attempt, whatever batch system starts it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SHIM: Final = Path(__file__).with_name("shim.sh")
"""The shim as it is installed with the service."""
