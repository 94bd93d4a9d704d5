"""
Jobwire: event-driven job control.

    from jobwire import Client, SyncClient, verify_webhook

These names are the Python interface, and only these; `jobwire.actors` and `jobwire.schemas` are the
service itself, and change as it does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jobwire.actors.client import Client, Control, NewEvent, SyncClient, Tail
    from jobwire.actors.client.webhooks import verify_webhook
    from jobwire.schemas.deliveries import (
        Callback,
        DeliveryStatus,
        GaveUp,
        WebhookData,
        WebhookMessage,
    )
    from jobwire.schemas.errors import (
        Conflict,
        Forbidden,
        InDoubt,
        Invalid,
        JobwireError,
        Malformed,
        Misconfigured,
        NotAcceptable,
        NotAllowed,
        NotFound,
        RangeNotSatisfiable,
        Timeout,
        TooLarge,
        TooManyRequests,
        Unauthorized,
        Unavailable,
        UnsupportedMedia,
        Upgrading,
        WebhookVerificationError,
    )
    from jobwire.schemas.lifecycle import Arrow, EventKind, JobOutcome, Lifecycle, State
    from jobwire.schemas.outcomes import Reason
    from jobwire.schemas.principals import Scope
    from jobwire.schemas.specs import (
        Cause,
        CleanUp,
        Resources,
        Retries,
        Secret,
        Spec,
        StageIn,
        StageOut,
    )
    from jobwire.schemas.views import (
        Accepted,
        AttemptView,
        CallbackView,
        ControlledView,
        CountView,
        CreatedView,
        DeliveryView,
        EntryView,
        FileView,
        FullJobView,
        JobView,
        KeyView,
        LineResult,
        NewCallbackView,
        NewKeyView,
        NotDoneView,
        OutcomeView,
        RecoveredView,
        RefusalView,
        RotatedView,
        SelectedView,
        StatsView,
    )

__all__ = [
    "Accepted",
    "Arrow",
    "AttemptView",
    "Callback",
    "CallbackView",
    "Cause",
    "CleanUp",
    "Client",
    "Conflict",
    "Control",
    "ControlledView",
    "CountView",
    "CreatedView",
    "DeliveryStatus",
    "DeliveryView",
    "EntryView",
    "EventKind",
    "FileView",
    "Forbidden",
    "FullJobView",
    "GaveUp",
    "InDoubt",
    "Invalid",
    "JobOutcome",
    "JobView",
    "JobwireError",
    "KeyView",
    "Lifecycle",
    "LineResult",
    "Malformed",
    "Misconfigured",
    "NewCallbackView",
    "NewEvent",
    "NewKeyView",
    "NotAcceptable",
    "NotAllowed",
    "NotDoneView",
    "NotFound",
    "OutcomeView",
    "RangeNotSatisfiable",
    "Reason",
    "RecoveredView",
    "RefusalView",
    "Resources",
    "Retries",
    "RotatedView",
    "Scope",
    "Secret",
    "SelectedView",
    "Spec",
    "StageIn",
    "StageOut",
    "State",
    "StatsView",
    "SyncClient",
    "Tail",
    "Timeout",
    "TooLarge",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnsupportedMedia",
    "Upgrading",
    "WebhookData",
    "WebhookMessage",
    "WebhookVerificationError",
    "verify_webhook",
]

#: Where the names are, those first that load the least.
_MODULES: Final = (
    "jobwire.schemas.errors",
    "jobwire.schemas.outcomes",
    "jobwire.schemas.principals",
    "jobwire.schemas.lifecycle",
    "jobwire.schemas.specs",
    "jobwire.schemas.deliveries",
    "jobwire.schemas.views",
    "jobwire.actors.client",
    "jobwire.actors.client.webhooks",
)

if not TYPE_CHECKING:
    # Every import of a module of the service runs this file, so names load when they are used.

    def __getattr__(name: str) -> object:
        """Load a public name when it is first used."""
        if name in __all__:
            for module in map(import_module, _MODULES):
                if hasattr(module, name):
                    return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)

    def __dir__() -> list[str]:
        """List the public names, also those that are not loaded yet."""
        return sorted({*globals(), *__all__})
