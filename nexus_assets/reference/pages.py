"""Which reference pages there are, and what each is written from."""

from pydantic import BaseModel

from nexus_assets.reference.command_line import command_line_page
from nexus_assets.reference.graph import graph_page
from nexus_assets.reference.models import fields_table

_SPECIFICATION = """# Every key of a specification

Written by `make docs` from the model that checks specifications. [The specification of a curriculum](../curriculum.md)
explains them.
"""

_SIDECAR = """# Every key of a sidecar

`inbox/<dataset>.yaml` says how the source files of a dataset are read. Written by `make docs` from the model that
checks it. [What may be dropped](../sources.md) explains it.
"""

_SETTINGS = """# Every setting

Each is an environment variable. Those that are of Google Cloud only are refused in a local deployment. Written by
`make docs`.
"""

_LAUNCHPAD = """# Configuration of runs

What the launchpad of the web UI takes, as YAML, for the assets and operations that take any. Written by `make docs`.
"""


def reference_pages() -> dict[str, str]:
    """Write the pages.

    :return: Markdown by file name.
    """
    from nexus_assets.defs.ops.cell_counts import CellQuestion
    from nexus_assets.defs.ops.duplicates import DuplicatesConfig
    from nexus_assets.defs.ops.purge import PurgeConfig
    from nexus_assets.defs.ops.request_curriculum import CurriculumRequest
    from nexus_resources.settings import PREFIX, Settings
    from omics_datastore.curriculum.specification import CurriculumSpecification
    from omics_datastore.ingest.configuration import DatasetConfig

    launched: dict[str, tuple[str, type[BaseModel]]] = {
        "ops/cell_counts, job describe_cells": ("ops__cell_counts", CellQuestion),
        "job find_duplicates": ("compare_cells", DuplicatesConfig),
        "job purge": ("delete_leftovers", PurgeConfig),
        "job request_curriculum": ("keep_specification", CurriculumRequest),
    }
    launchpad = [_LAUNCHPAD]
    for title, (op, model) in launched.items():
        launchpad += [f"## {title}\n\nBelow `ops: {{{op}: {{config: …}}}}`.\n", fields_table(model)]
    return {
        "command-line.md": command_line_page(),
        "specification.md": f"{_SPECIFICATION}\n{fields_table(CurriculumSpecification)}",
        "sidecar.md": f"{_SIDECAR}\n{fields_table(DatasetConfig)}",
        "settings.md": f"{_SETTINGS}\n{fields_table(Settings, prefix=PREFIX)}",
        "launchpad.md": "\n".join(launchpad),
        "assets.md": graph_page(),
    }
