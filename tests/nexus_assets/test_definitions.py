"""The code location loads fast: in every process of Dagster, and whenever a run starts."""

import json
import subprocess
import sys

import dagster as dg

from nexus_assets.policy import apply_policy

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


def test_kinds_say_where_things_are() -> None:
    table = dg.AssetSpec("cell_info", kinds={"duckdb", "parquet", "table"})
    plan = dg.AssetSpec("plan", kinds={"duckdb", "parquet"})
    source = dg.AssetSpec("source_files", kinds={"anndata", "file"})
    assert apply_policy(table).kinds == {"duckdb", "parquet", "table"}
    assert [apply_policy(spec, is_gcp=True).kinds for spec in (table, plan, source)] == [
        {"bigquery", "table"},
        {"bigquery", "parquet"},
        {"anndata", "gcs"},
    ]
