"""The emulator's process: ``local-bigquery`` with our additions, in its own environment; started by ``process.py``."""

import argparse
import os
import threading
import time
from pathlib import Path


def _end_with(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            os._exit(0)
        time.sleep(0.5)


def main() -> None:
    """Serve REST and the Storage Read API on 127.0.0.1 until the process that asked for it ends."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", required=True)
    parser.add_argument("--grpc-port", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--gcs-root", type=Path)
    parser.add_argument("--stream-rows", type=int, default=500)
    parser.add_argument("--until-ends", type=int, required=True, help="Process to end with.")
    given = parser.parse_args()
    threading.Thread(target=_end_with, args=(given.until_ends,), daemon=True).start()

    from tests.emulators.bigquery import additions, older_python

    older_python.prepare()
    os.environ.pop("STORAGE_EMULATOR_HOST", None)
    additions.install(given.folder / "storage_hosts", given.gcs_root, given.stream_rows)
    from local_bigquery.cli import main as serve

    ports = ["--port", given.port, "--grpc-port", given.grpc_port]
    serve(["serve", "--host", "127.0.0.1", *ports, "--data-dir", str(given.folder / "data")])


if __name__ == "__main__":
    main()
