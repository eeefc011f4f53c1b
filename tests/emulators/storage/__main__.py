"""Serve until the process that started this one ends or a signal comes: ``python -m tests.emulators.storage``.

The first line of the output is the address, the value for ``STORAGE_EMULATOR_HOST``.
"""

import argparse
import threading

from gcp_storage_emulator.handlers import buckets

from tests.emulators.storage.server import StorageServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.storage")
    parser.add_argument("--port", type=int, default=0, help="Port on 127.0.0.1; a free one by default.")
    parser.add_argument("--bucket", action="append", default=[], metavar="NAME[:LOCATION]", help="A bucket to make.")
    parser.add_argument("--with-stdin", action="store_true", help="End when standard input ends.")
    arguments = parser.parse_args()
    server = StorageServer(arguments.port)
    for bucket in arguments.bucket:
        name, _, location = bucket.partition(":")
        buckets.create_bucket(name, server.storage)
        server.storage.buckets[name]["location"] = location or "US"
    print(server.address, flush=True)  # noqa: T201 - said to whoever started it
    if arguments.with_stdin:
        threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
    try:
        server.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _end_with_input(server: StorageServer) -> None:
    import sys

    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
