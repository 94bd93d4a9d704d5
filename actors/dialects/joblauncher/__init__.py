"""The dialect of joblauncher (later osmium), `/job`."""

from __future__ import annotations
