"""The BigQuery emulator for a person: ``python -m tests.emulators.bigquery --folder FOLDER`` until interrupted."""

import argparse
import os
import time
from pathlib import Path

from tests.emulators.bigquery.process import start_bigquery


def main() -> None:
    """Start it, print the variables that lead clients to it, and wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="Where it keeps its data; a new folder is empty.")
    parser.add_argument("--port", type=int, default=9050)
    parser.add_argument("--grpc-port", type=int, default=9060)
    parser.add_argument("--storage-host", default=os.environ.get("STORAGE_EMULATOR_HOST"))
    given = parser.parse_args()
    emulator = start_bigquery(given.folder.resolve(), ports=(given.port, given.grpc_port))
    if given.storage_host:
        emulator.load_from(given.storage_host)
    for name, value in emulator.environment().items():
        print(f"export {name}={value}", flush=True)  # noqa: T201
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
