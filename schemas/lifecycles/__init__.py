"""The lifecycles that come with Jobwire, each written as the table that the documentation shows."""

from __future__ import annotations

from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.lifecycles.execution import EXECUTION
from jobwire.schemas.lifecycles.pipeline import PIPELINE

__all__ = ["BUILT_IN", "EXECUTION", "PIPELINE"]

#: By name. These names cannot be registered by anybody else.
BUILT_IN: dict[str, Lifecycle] = {lifecycle.name: lifecycle for lifecycle in (PIPELINE, EXECUTION)}
