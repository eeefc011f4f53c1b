"""Run what a page shows: its ``sh`` and ``python`` blocks in order, in one folder.

``nexus`` commands run in this process, which is seconds faster than a process each; everything else runs in a shell or
in a Python of its own. A command with the comment ``# refused`` must end with exit code 2.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.nexus_assets.cli.conftest import run_command

_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HERE = re.compile(r"<<'(\w+)'")
_REFUSED = "# refused"


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the blocks that are run.

    :param page: A Markdown page.
    :return: Language and text of each.
    """
    return [(match[1], match[2]) for match in _BLOCK.finditer(page.read_text())]


def statements(block: str) -> Iterator[str]:
    """Split a shell block into statements; a here-document belongs to its command.

    :param block: The block.
    :return: The statements.
    """
    lines = iter(block.splitlines())
    for line in lines:
        statement = line
        if here := _HERE.search(line):
            for inner in lines:
                statement += f"\n{inner}"
                if inner == here[1]:
                    break
        if statement.strip():
            yield statement


def run_block(language: str, text: str) -> str:
    """Run a block in the working directory.

    :param language: ``sh`` or ``python``.
    :param text: The block.
    :return: What it printed.
    """
    if language == "python":
        return _run([sys.executable, "-W", "ignore", "-c", text])
    return "".join(map(_run_statement, statements(text)))


def _run_statement(statement: str) -> str:
    words = [] if "\n" in statement else shlex.split(statement, comments=True)
    if words[:1] != ["nexus"]:
        return _run(["bash", "-euo", "pipefail", "-c", statement])
    target = words[words.index(">") + 1] if ">" in words else None
    outcome = run_command(words[1 : words.index(">")] if target else words[1:])
    assert outcome.code == (2 if _REFUSED in statement else 0), f"{statement}\n{outcome}"
    if target:
        Path(target).write_text(outcome.out)
        return ""
    return outcome.out + outcome.err


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
