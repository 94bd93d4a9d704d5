"""What the reference says of this dialect."""

from __future__ import annotations

from typing import Final

from jobwire.actors.dialects.documentation import DialectDocumentation

DOCUMENTATION: Final = DialectDocumentation(
    advice={
        (400, "wrong_type"): (
            "A field of a compatible interface has another type of JSON. The detail names it."
        ),
        (403, "foreign_origin"): (
            "Another site's page sent this, or a name that is not this machine's own was "
            "used. Use localhost, or send an API key."
        ),
        (422, "not_staged"): (
            "An input could not be copied; the detail names it. No job was made."
        ),
        (503, "withdrawn"): (
            "The job could not be made ready in time and was cancelled. Submit again."
        ),
    }
)
