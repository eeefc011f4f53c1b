"""The code location loads fast: in every process of Dagster, and whenever a run starts."""

import json
import subprocess
import sys

HEAVY = ("anndata", "dagster_gcp", "duckdb", "google.cloud.bigquery", "ibis", "kfp", "matplotlib", "pandas", "scipy")


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    program = (
        "import json, sys\n"
        "from nexus_assets.definitions import build_defs\n"
        "build_defs().resolve_job_def('build_curriculum')\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout))
    assert "nexus_assets.defs.curriculum.plan" in modules
    assert [name for name in HEAVY if name in modules] == []
    assert done.stderr == ""
