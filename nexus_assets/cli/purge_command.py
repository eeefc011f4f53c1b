"""``nexus purge``: list what nothing needs any more, and delete it."""

import sys

import click

from nexus_assets.cli.output import print_json, print_rows
from nexus_assets.cli.runs import load_job, run_job
from nexus_assets.cli.session import open_session
from omics_datastore.errors import InputError


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list.")
@click.option("--yes", is_flag=True, help="Do not ask; a script must say so.")
@click.option("--grace-hours", default=1.0, show_default=True, help="Leave alone what changed within this time.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def purge(dry_run: bool, yes: bool, grace_hours: float, as_json: bool) -> None:
    """Delete superseded and retired ingests that no curriculum pins, and what killed runs left.

    Files in the inbox are never deleted.
    """
    from nexus_assets.defs.ops.purge import busy_datasets
    from omics_datastore.purge import by_reason, find_leftovers, sweep_scratch

    if grace_hours < 0:
        raise InputError(f"--grace-hours {grace_hours} is negative; give hours from 0.")
    session = open_session(writes=not dry_run)
    busy = busy_datasets(session.instance) if session.settings.dagster_path.exists() else set()
    found = find_leftovers(session.store, session.warehouse, grace_seconds=grace_hours * 3600, busy_datasets=busy)
    if not dry_run:
        sweep_scratch(session.store)
    rows = [{"reason": item.reason, "name": item.name, "bytes": item.size} for item in found]
    if not as_json:
        print_rows(rows, "nothing to purge")
        if rows:
            click.echo()
            print_rows(by_reason(found), "")
    if found and not dry_run:
        if not yes:
            if not sys.stdin.isatty():
                raise InputError(f"a purge would delete these {len(found)} items; say --yes to do it.")
            click.confirm(f"Delete these {len(found)} items?", abort=True)
        config = {"ops": {"delete_leftovers": {"config": {"grace_hours": grace_hours}}}}
        run_job(session, load_job(session, "purge"), None, {}, config)
    if as_json:
        print_json({"dry_run": dry_run, "items": rows, "by_reason": by_reason(found)})
