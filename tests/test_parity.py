"""The table of parity is a promise: what it names exists; every command is found in the pages and by example."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from nexus_assets.cli.main import cli

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/parity.md").read_text()
INVENTORY = {
    f"{section}{number}"
    for section, last in {"A": 6, "B": 11, "C": 3, "D": 9, "E": 14, "F": 13}.items()
    for number in range(1, last + 1)
} - {"E12"}  # the SOMA back end
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| ")]
PARITY = [row for row in ROWS if len(row) == 4 and row[0] != "row"]
BEYOND = [row for row in ROWS if len(row) == 3 and row[0] != "what"]
CODE = re.findall(r"`([^`]+)`", PAGE)
OTHERS = [path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "parity.md"]
TESTS = sorted({code for code in CODE if ".py::" in code})


def test_every_row_of_the_inventory_is_there_once_and_full() -> None:
    names = [row[0] for row in PARITY]
    assert sorted(names) == sorted(INVENTORY)
    assert all(all(row) and ".py::" in row[-1] for row in (*PARITY, *BEYOND))
    assert len(ROWS) == len(PARITY) + len(BEYOND) + 7  # the heads of the tables


@cache
def functions_of(path: Path) -> set[str]:
    found = set()
    for node in ast.parse(path.read_text()).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {f"{prefix}{item.name}" for item in inside if isinstance(item, ast.FunctionDef)}
    return found


def test_every_test_that_is_named_exists() -> None:
    assert len(TESTS) > 100
    for name in TESTS:
        path, _, test = name.partition("::")
        assert (ROOT / "tests" / path).exists(), name
        assert test in functions_of(ROOT / "tests" / path), name


def test_every_asset_job_and_target_that_is_named_exists() -> None:
    graph = (ROOT / "tests/nexus_assets/asset_graph.txt").read_text().splitlines()
    assets = [code for code in CODE if re.fullmatch(r"(ingest|warehouse|curriculum|ops)/[a-z_]+", code)]
    assert {"ingest/validation_report", "curriculum/release"} <= set(assets)
    for asset in assets:
        assert f"asset {asset}" in graph
    for kind, name in re.findall(r"\b(job|sensor|schedule) `([a-z_]+)`", PAGE):
        assert f"{kind} {name}" in graph
    targets = re.findall(r"`make ([a-z-]+)`", PAGE)
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def leaves(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from leaves(below, f"{path} {name}")


COMMANDS = dict(leaves(cli, "nexus"))


def check_command(line: str) -> None:
    """Make sure that a line calls a command that exists, with options that it has."""
    path = next((path for path in COMMANDS if line == path or line.startswith(f"{path} ")), None)
    assert path is not None, line
    known = {option for parameter in COMMANDS[path].params for option in parameter.opts}
    for option in re.findall(r"(?<= )--[a-z-]+", line.removeprefix(path)):
        assert option in known, line


def test_every_command_that_is_named_exists() -> None:
    lines = [code for code in CODE if code.startswith("nexus ")]
    assert len(lines) > 30
    for line in lines:
        check_command(line)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    for line in ("nexus cell count", "nexus cells count --whereabouts x", "nexus reports show D --xml"):
        with pytest.raises(AssertionError):
            check_command(line)


def test_every_command_is_found_in_the_pages() -> None:
    pages = "\n".join(path.read_text() for path in (ROOT / "README.md", *OTHERS))
    said = set(re.findall(r"nexus [a-z]+(?: [a-z]+)?", pages))
    said |= {
        f"nexus {group} {name}"
        for group, names in re.findall(r"nexus ([a-z]+) ([a-z|]+)", pages)
        for name in names.split("|")
    }
    assert [path for path in COMMANDS if not any(f"{line} ".startswith(f"{path} ") for line in said)] == []


def examples(command: click.Command) -> list[str]:
    return [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("nexus ")]


def groups(command: click.Command, path: str = "nexus") -> Iterator[tuple[str, click.Group]]:
    if isinstance(command, click.Group):
        yield path, command
        for name, below in command.commands.items():
            yield from groups(below, f"{path} {name}")


def test_help_shows_examples_that_are_right() -> None:
    for path, command in [*groups(cli), ("nexus ingest", COMMANDS["nexus ingest"])]:
        shown = examples(command)
        assert shown, path
        for line in shown:
            assert line.startswith(path)
            check_command(line)
