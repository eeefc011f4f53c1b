"""``make gcp-demo``: the whole main job in gcp mode against the emulators, for a person.

``python -m tests.emulators.gcp_demo`` runs ``nexus doctor`` and ``nexus demo``; with ``--up`` the web UI stays until
interrupted; other arguments are a command that runs in that environment instead of the demo.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.emulators.cloud import EmulatedCloud

_NEXUS = Path(sys.executable).with_name("nexus")


def main() -> int:
    """Run it.

    :return: Exit code of the last command.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.gcp_demo", description=__doc__)
    parser.add_argument("--up", action="store_true", help="Serve the web UI afterwards, until interrupted.")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="What to run instead of the demo.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nexus-gcp-demo-") as folder, EmulatedCloud(Path(folder)) as cloud:
        environment = cloud.environment(Path(folder) / "dagster")
        commands = [asked.command] if asked.command else [[str(_NEXUS), "doctor"], [str(_NEXUS), "demo"]]
        if asked.up:
            commands.append([str(_NEXUS), "up"])
        for command in commands:
            code = subprocess.run(command, env=environment, check=False).returncode
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
