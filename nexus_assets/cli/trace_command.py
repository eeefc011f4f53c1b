"""``nexus trace``: from a cell of a shard back to its source."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nexus_assets.cli.curriculum_commands import read_named_release
from nexus_assets.cli.output import print_json, print_pairs
from nexus_assets.cli.session import Session, open_session
from omics_datastore.keys import parse_curriculum_partition

_RELEASE = ["curriculum", "release"]
_INGEST_INFO = ["warehouse", "ingest_info"]


@click.command()
@click.argument("curriculum", metavar="NAME[.vN]|SHARD")
@click.argument("cells", metavar="CELL…", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def trace(curriculum: str, cells: Sequence[str], as_json: bool) -> None:
    """Say where cells of a curriculum came from; a CELL is called as in obs_names of the shards.

    A SHARD is an .h5ad file, or the folder of a zarr group, in a curriculum's folder or a copy of it.
    """
    from omics_datastore.curriculum.trace import trace_in_shard, trace_in_store

    session = open_session()
    if curriculum.endswith(".h5ad") or (Path(curriculum) / "zarr.json").is_file():
        origins = trace_in_shard(Path(curriculum), cells)
    else:
        origins = trace_in_store(read_named_release(session, curriculum), cells, session.store)
    rows = [{**origin.model_dump(), **_runs(session, origin.curriculum, origin.dataset)} for origin in origins]
    if as_json:
        print_json(rows)
        return
    for number, row in enumerate(rows):
        if number:
            click.echo()
        print_pairs({name.replace("_", " "): str(value) for name, value in row.items() if value is not None})


def _runs(session: Session, partition: str, dataset: str) -> dict[str, Any]:
    """Find the runs that this instance knows to have loaded the dataset and released the version last."""
    if not session.has_instance:
        return {"ingest_run": None, "release_run": None}
    parse_curriculum_partition(partition)
    return {
        "ingest_run": _run_of(session, _INGEST_INFO, dataset),
        "release_run": _run_of(session, _RELEASE, partition),
    }


def _run_of(session: Session, asset: list[str], partition: str) -> str | None:
    import dagster as dg

    found = session.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
    ).records
    return found[0].run_id if found else None
