#!/usr/bin/env python3
"""
Ask the actor in this container how it is; exit 0 if it answers well, else 1 with its words.

Needs the standard library only, and no shell: `probe.py /health/ready`. A gateway answers on its
own port, every other actor on its health port; the first of the two that accepts is asked.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping

#: Shorter than the time that the container's health check has.
_ANSWER_S = 4

_GATEWAY_PORT = "8640"
_HEALTH_PORT = "8641"


def ports(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return the ports where an actor may answer, as its settings say."""
    gateway = environment.get("JOBWIRE_PORT", _GATEWAY_PORT)
    health = environment.get("JOBWIRE_HEALTH__PORT", _HEALTH_PORT)
    return int(gateway), int(health)


def ask(path: str, port: int) -> tuple[int, str]:
    """
    Return the status and the text of an answer.

    Raises:
        OSError: nobody listens there, or no answer came in time.

    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace").strip()
    finally:
        connection.close()


def main() -> int:
    """Ask, and say what came back."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/health/live"
    heard = "nothing answers"
    for port in ports(os.environ):
        try:
            status, text = ask(path, port)
        except ConnectionRefusedError:
            continue
        except (OSError, http.client.HTTPException) as error:
            heard = f"no answer on port {port}: {error}"
            break
        sys.stdout.write(f"{status} {text}\n")
        return 0 if status == http.HTTPStatus.OK else 1
    sys.stdout.write(f"{heard}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
