"""
A broker and a database for development, until they are interrupted: `make services`.

Their data is gone with them.
"""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack

from tests.support.interrupts import end_by_signals, ignore_signals
from tests.support.mongodb import MongoServer
from tests.support.rabbitmq import RabbitServer
from tests.support.servers import ServerMissing

#: For the service, and for the tests, which then use these two instead of their own.
_LINES = """
JOBWIRE_BROKER__URL={broker}
JOBWIRE_DATABASE__URL={database}
JOBWIRE_TEST_RABBITMQ={test_broker}
JOBWIRE_TEST_RABBITMQ_API={api}
JOBWIRE_TEST_MONGODB={database}
"""


def main() -> int:
    """Start both, print where they answer, stop them when interrupted; return the exit code."""
    end_by_signals()
    with ExitStack() as stack:
        try:
            rabbit = RabbitServer()
            stack.callback(rabbit.close)
            mongo = MongoServer()
            stack.callback(mongo.close)
            sys.stderr.write("Starting RabbitMQ and MongoDB ...\n")
            rabbit.start()
            mongo.start()
            lines = _LINES.format(
                broker=rabbit.url,
                database=mongo.url("jobwire"),
                test_broker=rabbit.vhost(),
                api=rabbit.start_api(),
            )
            sys.stdout.write(lines.lstrip())
            sys.stdout.flush()
            sys.stderr.write("Both run; Ctrl-C stops them, and their data is gone.\n")
            signal.pause()
        except ServerMissing as missing:
            sys.stderr.write(f"{missing}\n")
            return 1
        except KeyboardInterrupt:
            sys.stderr.write("\n")
        finally:
            ignore_signals()
    return 0


if __name__ == "__main__":
    sys.exit(main())
