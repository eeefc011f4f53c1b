"""An interpreter that has what the worker image has and nothing else of this environment.

The image installs the base dependencies of ``pyproject.toml`` and the packages its Dockerfile copies. Their transitive
closure is read from the metadata of what is installed here, and every import outside it fails, in child processes too.
"""

import json
import re
import shutil
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]

_CUSTOMIZE = '''
"""Refuse every import that the worker image could not make."""
import importlib.machinery, json, os, sys

_given = json.loads(open(os.path.join(os.path.dirname(__file__), "allowed.json")).read())
_files, _roots = set(_given["files"]), tuple(_given["roots"])


_others = list(sys.meta_path)


class _Gate:
    """The only finder: asks the others, and knows nothing of what the image would not have."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        for finder in _others:
            spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None:
                return spec if _is_known(spec) else None
        return None

    find_distributions = staticmethod(importlib.machinery.PathFinder.find_distributions)


def _is_known(spec):
    if spec.origin is None:  # a namespace package, such as google.cloud
        return all(place.startswith((*_roots, sys.prefix)) for place in spec.submodule_search_locations)
    if spec.origin in ("built-in", "frozen") or spec.origin in _files:
        return True
    return spec.origin.startswith(_roots) and "site-packages" not in spec.origin


sys.meta_path[:] = [_Gate]
'''


def base_requirements() -> list[str]:
    """Return the base dependencies of ``pyproject.toml``: what the worker image installs."""
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return found


def closure(requirements: list[str]) -> set[str]:
    """Return the names of the distributions that requirements bring, from the metadata of this environment."""
    found: set[str] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in ["", *requirement.extras]:
            if (name, wanted) in seen:
                continue
            seen.add((name, wanted))
            found.add(name)
            waiting += [(Requirement(text), wanted) for text in metadata.requires(name) or []]
    return found


def copied_packages(dockerfile: str) -> set[str]:
    """Return the packages of the repository that a Dockerfile copies."""
    lines = re.findall(r"^COPY (\w+) \w+$", (ROOT / "deploy" / dockerfile).read_text(), re.MULTILINE)
    return set(lines)


def make_worker(folder: Path) -> dict[str, str]:
    """Lay out a worker image's packages and return the environment variables of a process in it."""
    packages, gate = folder / "packages", folder / "gate"
    for package in copied_packages("worker.Dockerfile"):
        shutil.copytree(ROOT / package, packages / package, ignore=shutil.ignore_patterns("__pycache__"))
    files = [
        str(distribution.locate_file(file))
        for distribution in map(metadata.distribution, sorted(closure(base_requirements())))
        for file in distribution.files or []
        if file.suffix in (".py", ".so")
    ]
    gate.mkdir()
    roots = [str(packages), str(gate), str(folder), sys.base_prefix]
    (gate / "allowed.json").write_text(json.dumps({"files": files, "roots": roots}))
    (gate / "sitecustomize.py").write_text(_CUSTOMIZE)
    return {"PYTHONPATH": f"{gate}:{packages}", "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
