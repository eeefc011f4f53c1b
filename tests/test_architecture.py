"""The house of DESIGN section 2: which way imports go, what is loaded when, what files may look like."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("omics_datastore", "kfp_components", "nexus_resources", "nexus_assets")
"""From the ground up: a package may import those before it and itself."""

CLOUD_SDKS = {"google.cloud.storage": "cloud_storage", "gcsfs": "cloud_storage", "google.cloud.bigquery": "bigquery"}
"""A cloud SDK, and a word in the names of the modules that may import it (and Google's libraries beneath it)."""

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "misc", "common", "core"}
LINE_LIMIT = 350

NEEDS_TORCH = "omics_datastore.training.torch_dataset"
"""The one module that needs an extra which workers and developers lack; its tests have a stand-in."""

MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    """Return every dotted name a module imports, anywhere in it, with its line; relative ones begin with a dot."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _forbidden(path: Path) -> list[str]:
    package = _package(path)
    above = [*PACKAGES[PACKAGES.index(package) + 1 :], "tests"]
    above += {"omics_datastore": ["dagster", "kfp"], "kfp_components": ["dagster"]}.get(package, [])
    found = [f"line {line}: {name}" for name, line in _imports(path) for root in above if _within(name, root)]
    if package == "omics_datastore":
        for name, line in _imports(path):
            sdk = next((sdk for sdk in CLOUD_SDKS if _within(name, sdk)), None)
            words = {CLOUD_SDKS[sdk]} if sdk else set(CLOUD_SDKS.values())
            allowed = any(word in path.stem for word in words)
            if not allowed and (sdk is not None or _within(name, "google")):
                found.append(f"line {line}: {name}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_one_way(path: Path) -> None:
    assert _forbidden(path) == []


def test_the_arrows_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: each of these lines is one that it must find."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    wrong = {
        "omics_datastore": [
            "import dagster as dg",
            "from kfp import dsl",
            "import google.cloud.storage",
            "import gcsfs",
        ],
        "kfp_components": [
            "def f():\n    from dagster import asset",
            "from nexus_resources.settings import read_settings",
        ],
        "nexus_resources": ["import nexus_assets", "if True:\n    import nexus_assets.policy as policy"],
    }
    for package, lines in wrong.items():
        for line in lines:
            path = tmp_path / package / "module.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(line)
            assert len(_forbidden(path)) == 1, line
    path = tmp_path / "omics_datastore" / "cloud_storage.py"
    path.write_text("from google.cloud import storage")
    assert _forbidden(path) == []


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=_name)
def test_form_of_a_file(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LINE_LIMIT
    assert path.stem not in VAGUE_NAMES
    assert [f"line {line}: {name}" for name, line in _imports(path) if name.startswith(".")] == []
    if path in MODULES:
        assert ast.get_docstring(ast.parse(text)), "a module says in its first lines what belongs in it"


def test_every_folder_is_a_package() -> None:
    assert {path.parent for path in MODULES} == {path.parent for path in MODULES if path.name == "__init__.py"}
    assert not list((ROOT / "tests").rglob("__init__.py"))


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_worker_packages_import_without_dagster() -> None:
    names = [_dotted(path) for path in MODULES if _package(path) in ("omics_datastore", "kfp_components")]
    names.remove(NEEDS_TORCH)
    blocked = ["dagster", "nexus_resources", "nexus_assets"]
    code = f"import sys, importlib\nfor name in {blocked}: sys.modules[name] = None\n"
    _run(f"{code}for name in {names}: importlib.import_module(name)")


def test_code_location_loads_without_the_heavy_libraries(tmp_path: Path) -> None:
    """Dagster loads the code location in the web server, the daemon and every run: each second of it counts."""
    heavy = ["google.cloud.aiplatform", "google.cloud.bigquery", "google.cloud.storage", "kfp", "anndata", "duckdb"]
    heavy += ["matplotlib", "ibis", "pandas", "h5py", "scipy"]
    code = (
        f"import os, sys\nos.environ['NEXUS_ROOT'] = {str(tmp_path)!r}\nos.environ['NEXUS_DEPLOYMENT'] = 'local'\n"
        "from nexus_assets.definitions import build_defs\nbuild_defs()\n"
        f"print(*[name for name in {heavy} if name in sys.modules])"
    )
    assert _run(code).split() == []
