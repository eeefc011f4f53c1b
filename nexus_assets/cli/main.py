"""The ``nexus`` command: its groups, and how errors end a process.

0 when all was done; 2 for a usage or input error, with one sentence on standard error; 1 for anything else.
"""

import gc
import os
import sys
import warnings
from collections.abc import Sequence

import click

from nexus_assets.cli.cells_commands import cells
from nexus_assets.cli.curriculum_commands import curriculum
from nexus_assets.cli.dataset_commands import datasets
from nexus_assets.cli.demo_command import demo
from nexus_assets.cli.doctor_command import doctor
from nexus_assets.cli.examples import examples
from nexus_assets.cli.ingest_command import ingest
from nexus_assets.cli.mapping_commands import mapping
from nexus_assets.cli.output import say
from nexus_assets.cli.purge_command import purge
from nexus_assets.cli.report_commands import reports
from nexus_assets.cli.schema_commands import schema
from nexus_assets.cli.sql_command import sql
from nexus_assets.cli.suggestions import SuggestingGroup
from nexus_assets.cli.trace_command import trace
from nexus_assets.cli.up_command import up
from omics_datastore.errors import InputError, NexusError, one_line
from omics_datastore.shown_text import masked
from omics_datastore.storage.disk_errors import clear_disk_errors
from omics_datastore.version import NEXUS_VERSION

_COLLECT_AFTER = 100_000


@click.group(
    cls=SuggestingGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "nexus demo",
        "nexus up",
        "nexus ingest lung.h5ad",
        'nexus cells count --where "tissue == lung" --by cell_type',
        "nexus schema add protein-coding genes.csv",
        "nexus curriculum build lung.yaml",
        'nexus sql "SELECT dataset, cell_count FROM ingest_info"',
        "nexus doctor",
    ),
)
@click.version_option(NEXUS_VERSION, prog_name="nexus")
@click.option("--root", metavar="ROOT", help="Folder, or gs:// address, of everything (NEXUS_ROOT; ./nexus-data).")
def cli(root: str | None) -> None:
    """Turn AnnData files into a warehouse and into curricula to train on."""
    if root is not None:
        os.environ["NEXUS_ROOT"] = root


for command in (up, demo, ingest, curriculum, cells, sql, datasets, reports, purge, trace, schema, mapping, doctor):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    :param arguments: What follows ``nexus``; by default what this process was started with.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    gc.set_threshold(_COLLECT_AFTER)  # imports make a million objects that stay: looking for garbage among them is slow
    try:
        with clear_disk_errors():
            code = cli.main(arguments, prog_name="nexus", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = f" See {context.command_path} --help." if context is not None else ""
        said = one_line(error.format_message().rstrip("."))
        say(masked(f"nexus: {said}.{where}".replace("?.", "?")))
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("nexus: stopped.", err=True)
        sys.exit(130)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except InputError as error:
        say(f"nexus: {error}")
        sys.exit(2)
    except NexusError as error:
        say(f"nexus: {error}")
        sys.exit(1)
    if isinstance(code, int):  # what a command exits with; those that end well return nothing
        sys.exit(code)
