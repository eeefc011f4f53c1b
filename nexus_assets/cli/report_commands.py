"""``nexus reports``: list and show what the checks of source files found."""

import click

from nexus_assets.cli.examples import examples
from nexus_assets.cli.output import print_json, print_rows
from nexus_assets.cli.session import open_session
from nexus_assets.cli.suggestions import SuggestingGroup
from omics_datastore.errors import InputError


@click.group(
    cls=SuggestingGroup,
    epilog=examples(
        "nexus reports list",
        "nexus reports show lung --csv",
    ),
)
def reports() -> None:
    """Look at validation reports."""


@reports.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def list_command(as_json: bool) -> None:
    """List the latest report of every dataset."""
    from omics_datastore.ingest.report_table import list_reports

    rows = list_reports(open_session().store)
    print_json(rows) if as_json else print_rows(rows, "no reports yet; make one with nexus ingest FILE --validate-only")


@reports.command()
@click.argument("dataset")
@click.option("--csv", "as_csv", is_flag=True, help="Print the result as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def show(dataset: str, as_csv: bool, as_json: bool) -> None:
    """Show the latest report of a dataset: a row a file and rule."""
    from omics_datastore.ingest.report_table import read_named_report, report_csv, report_rows

    if as_csv and as_json:
        raise InputError("--csv and --json exclude each other; give one.")
    report = read_named_report(open_session().store, dataset)
    if as_csv:
        click.echo(report_csv(report), nl=False)
        return
    rows = report_rows(report)
    print_json(rows) if as_json else print_rows(
        [{name: row[name] for name in ("file", "status", "rule", "severity", "message")} for row in rows], "no files"
    )
