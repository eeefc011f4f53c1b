"""What every command works with: the settings, the stores, and the Dagster instance that the web UI shows."""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from nexus_resources.settings import Settings, read_settings
from omics_datastore.errors import InputError
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.storage.open import open_store

if TYPE_CHECKING:
    import dagster as dg

    from omics_datastore.warehouse.warehouse import Warehouse

INSTANCE_YAML = """\
# Written by nexus when it was not there; yours to change.
telemetry:
  enabled: false
nux:
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
concurrency:
  runs:
    max_concurrent_runs: 2
    tag_concurrency_limits:
      - key: dagster/partition
        value:
          applyLimitPerUniqueValue: true
        limit: 1
backfills:
  use_threads: true
  num_workers: 2
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  free_slots_after_run_end_seconds: 120
sensors:
  use_threads: true
  num_workers: 2
retention:
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days:
      skipped: 1
      failure: 30
      success: 90
"""
_WORKSPACE = """\
load_from:
  - python_module:
      module_name: nexus_assets.definitions
      location_name: nexus
"""


@dataclass(frozen=True)
class Session:
    """Open things of the deployment once, when they are asked for."""

    settings: Settings

    @cached_property
    def store(self) -> ObjectStore:
        """Return the object store."""
        return open_store(self.settings.store_root)

    @cached_property
    def warehouse(self) -> "Warehouse":
        """Return the warehouse."""
        from nexus_resources.deployment import warehouse_uri
        from omics_datastore.warehouse.open import open_warehouse

        return open_warehouse(warehouse_uri(self.settings), self.store)

    @property
    def has_instance(self) -> bool:
        """Return whether there is a Dagster instance that a command that only reads may look into."""
        known = self.settings.dagster_home or not self.settings.is_gcp
        return bool(known) and self.settings.dagster_path.exists()

    @cached_property
    def instance(self) -> "dg.DagsterInstance":
        """Return the Dagster instance, made when it is not there yet."""
        import dagster as dg

        from nexus_assets.lost_runs import end_lost_runs

        prepare_dagster_home(self.settings)
        instance = dg.DagsterInstance.get()
        end_lost_runs(instance)
        return instance


def open_session(*, writes: bool = False) -> Session:
    """Read the settings and open a session.

    :param writes: Whether the command will write; one that only reads leaves no folder behind.
    :return: The session.
    :raise InputError: When a setting is wrong, or the root cannot be written.
    """
    session = Session(read_settings())
    if writes:
        prepare_dagster_home(session.settings)
    return session


def prepare_dagster_home(settings: Settings) -> None:
    """Make the folder of the Dagster instance and point Dagster to it.

    :param settings: The settings.
    :raise InputError: When it cannot be written.
    """
    home = settings.dagster_path
    try:
        home.mkdir(parents=True, exist_ok=True)
        for name, content in (("dagster.yaml", INSTANCE_YAML), ("workspace.yaml", _WORKSPACE)):
            path = home / name
            if not path.exists():
                path.write_text(content)
    except OSError as error:
        folder, setting = (
            (home, "NEXUS_DAGSTER_HOME") if settings.dagster_home else (settings.root_path, "--root or NEXUS_ROOT")
        )
        raise InputError(
            f"the folder {folder} cannot be written ({error.strerror}); choose another with {setting}."
        ) from error
    os.environ["DAGSTER_HOME"] = str(home)
    if settings.dagster_home:
        os.environ["NEXUS_DAGSTER_HOME"] = str(home)
    os.environ["NEXUS_ROOT"] = settings.store_root
