"""The emulator as a program: ``python -m tests.emulators.vertex --folder F [--port N]`` executes what is submitted.

It prints its address on the first line. Jobs live as long as this program, whatever becomes of who submitted them;
the environment of their tasks is that of this program.
"""

import argparse
import signal
import sys
import threading
from pathlib import Path

from nexus_resources.pipelines.local import LocalPipelines
from tests.emulators.vertex.server import RestServer
from tests.emulators.vertex.service import PipelineServiceEmulator


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.vertex")
    parser.add_argument("--folder", type=Path, required=True, help="where the records and logs of jobs go")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--with-stdin", action="store_true", help="end when standard input ends")
    arguments = parser.parse_args()
    runner = LocalPipelines(arguments.folder)
    server = RestServer(PipelineServiceEmulator(runner), arguments.port)
    sys.stdout.write(f"{server.endpoint}\n")
    sys.stdout.flush()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if arguments.with_stdin:
        threading.Thread(target=_end_with_input, args=(ended,), daemon=True).start()
    ended.wait()
    server.close()
    runner.close()


def _end_with_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main()
