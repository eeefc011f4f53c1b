"""``nexus doctor``: what is missing before Nexus works, each with how to mend it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial

import click

from nexus_assets.cli.doctor_cloud import CLOUD_CHECKS, ComplaintError
from nexus_assets.cli.output import print_json, print_rows
from nexus_assets.cli.session import Session, open_session
from omics_datastore.errors import InputError, NexusError

_FREE_BYTES = 2 * 2**30
_FILE_HANDLES = 1024


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def doctor(as_json: bool) -> None:
    """Check this installation and say how to mend what is wrong."""
    rows = []
    for name, check in _checks().items():
        try:
            rows.append({"check": name, "state": "ok", "found": check()})
        except ComplaintError as complaint:
            rows.append({"check": name, "state": "FAILED", "found": complaint.message})
        except (OSError, NexusError) as error:
            rows.append({"check": name, "state": "FAILED", "found": str(error)})
    print_json(rows) if as_json else print_rows(rows, "")
    if any(row["state"] != "ok" for row in rows):
        raise click.exceptions.Exit(2)


def _checks() -> dict[str, Callable[[], str]]:
    """Return the checks of this deployment."""
    session = open_session()
    chosen = {**_EVERYWHERE, **(CLOUD_CHECKS if session.settings.is_gcp else _LOCAL), **_WORKING}
    return {name: partial(check, session) for name, check in chosen.items()}


def _python(session: Session) -> str:  # noqa: ARG001
    if sys.version_info[:2] not in ((3, 11), (3, 12)):
        raise ComplaintError(f"Python {sys.version.split()[0]}; use 3.11 or 3.12.")
    return sys.version.split()[0]


def _root(session: Session) -> str:
    root = session.settings.root_path
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise ComplaintError(f"{root} cannot be written ({error.strerror}); set NEXUS_ROOT.") from error
    return str(root)


def _space(session: Session) -> str:
    free = shutil.disk_usage(session.settings.root_path).free
    if free < _FREE_BYTES:
        raise ComplaintError(f"{free / 2**30:.1f} GiB are free; ingest files and shards need 2 GiB or more.")
    return f"{free / 2**30:.0f} GiB free"


def _links(session: Session) -> str:
    with tempfile.TemporaryDirectory(dir=session.settings.root_path) as folder:
        source = os.path.join(folder, "a")  # noqa: PTH118
        with open(source, "wb"):  # noqa: PTH123
            pass
        try:
            os.link(source, f"{source}b")
        except OSError:
            return "this file system has no hard links: the warehouse copies ingest files"
    return "hard links work"


def _handles(session: Session) -> str:  # noqa: ARG001
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILE_HANDLES:
        raise ComplaintError(f"a process may open {soft} files; raise it with ulimit -n {_FILE_HANDLES}.")
    return f"{soft} open files allowed"


def _instance(session: Session) -> str:
    home = session.settings.dagster_path
    try:
        session.instance.get_runs_count()
    except InputError:
        raise
    except Exception as error:  # Dagster raises whatever its storage does
        reason = " ".join(str(error).split())
        raise ComplaintError(
            f"the Dagster instance in {home} does not open ({reason}); mend its dagster.yaml, or the database it names."
        ) from error
    return f"{home} ({type(session.instance.run_storage).__name__})"


def _definitions(session: Session) -> str:  # noqa: ARG001
    from nexus_assets.definitions import build_defs

    try:
        keys = list(build_defs().resolve_all_asset_specs())
    except Exception as error:
        raise ComplaintError(f"the definitions do not load ({error}); install Nexus again.") from error
    return f"{len(keys)} assets"


def _pipelines(session: Session) -> str:  # noqa: ARG001
    from kfp_components.catalog import PIPELINES, compiled_pipeline

    for name in PIPELINES:
        try:
            compiled_pipeline(name)
        except FileNotFoundError as error:
            raise ComplaintError(f"the compiled pipeline {name} is missing; run make pipelines.") from error
    return f"{len(PIPELINES)} compiled pipelines"


def _kfp(session: Session) -> str:  # noqa: ARG001
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import kfp.local, anndata, h5py, isal; print(kfp.__version__)"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise ComplaintError(f"a pipeline task cannot start ({last[0]}); install Nexus again.")
    return f"kfp {done.stdout.strip()}"


def _cellxgene(session: Session) -> str:
    from nexus_resources.deployment import deployment_resources
    from nexus_resources.pipelines.resource import PipelinesResource
    from omics_datastore.ingest.cellxgene_gate import CellxgeneGate
    from omics_datastore.ingest.sidecars import read_sidecars

    asking = [
        dataset
        for dataset, content in read_sidecars(session.store).items()
        if isinstance(rules := content.get("validation"), dict) and rules.get("cellxgene_schema") in ("warn", "block")
    ]
    pipelines = deployment_resources(session.settings)["pipelines"]
    environment = pipelines.cellxgene() if isinstance(pipelines, PipelinesResource) else None
    if environment is None:
        return "not set"
    try:
        with CellxgeneGate(environment) as gate:
            return f"cellxgene-schema {gate.version()}"
    except InputError as error:
        if asking:
            raise ComplaintError(f"{', '.join(asking)}: {error}") from error
        return "not installed, and no dataset asks for it; 'make cellxgene' installs it"


def _warehouse(session: Session) -> str:
    ingests = session.warehouse.ingests()
    return f"{ingests.height} ingests, {int(ingests['is_current'].sum())} current"


_EVERYWHERE: dict[str, Callable[[Session], str]] = {"python": _python}
_LOCAL: dict[str, Callable[[Session], str]] = {
    "root folder": _root,
    "disk space": _space,
    "hard links": _links,
    "pipeline tasks": _kfp,
    "cellxgene-schema": _cellxgene,
}
_WORKING: dict[str, Callable[[Session], str]] = {
    "file handles": _handles,
    "dagster instance": _instance,
    "definitions": _definitions,
    "pipelines": _pipelines,
    "warehouse": _warehouse,
}
