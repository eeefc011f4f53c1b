"""The shape of the house: which package may import which, and what every module must be like."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("omics_datastore", "kfp_components", "nexus_resources", "nexus_assets")
CLOUD = ("google", "gcsfs")
FORBIDDEN = {
    "omics_datastore": ("kfp_components", "nexus_resources", "nexus_assets", "dagster", "dagster_gcp", "kfp", *CLOUD),
    "kfp_components": ("nexus_resources", "nexus_assets", "dagster", "dagster_gcp"),
    "nexus_resources": ("nexus_assets",),
    "nexus_assets": (),
}
"""What each package must not import. ``nexus_assets → nexus_resources → kfp_components → omics_datastore``."""

HEAVY = ("anndata", "duckdb", "ibis", "kfp", "matplotlib", "h5py", "scipy")
"""What the code location must not import when it loads. Dagster's own plug-ins import pandas and google.cloud."""

LONGEST = 350


def modules(package: str) -> Iterator[Path]:
    return (ROOT / package).rglob("*.py")


ALL = [path for package in OURS for path in modules(package)]


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module or "")
    return found


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("package", OURS)
def test_arrows_point_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert wrong == []


def test_a_forbidden_import_is_found(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("def f():\n    from dagster.core import x\n    import kfp.local\n")
    assert imports(path) == {"dagster.core", "kfp.local"}


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_and_is_short(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= LONGEST
    assert path.stem not in ("utils", "util", "helpers", "helper", "manager", "misc", "common")


def test_a_worker_needs_no_dagster() -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for name in OURS[:2] for path in modules(name)]
    names = [name.removesuffix(".__init__") for name in names]
    blocked = "import sys; sys.modules['dagster'] = sys.modules['nexus_assets'] = sys.modules['nexus_resources'] = None"
    run(f"{blocked}\nimport importlib\nfor name in {names!r}: importlib.import_module(name)")


def test_the_code_location_loads_nothing_heavy() -> None:
    code = "import sys, nexus_assets.definitions as d; d.build_defs(); print([m for m in {!r} if m in sys.modules])"
    assert run(code.format(HEAVY)).strip() == "[]"
