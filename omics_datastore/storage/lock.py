"""What a lock of an object store is, and the names of those that Nexus takes: who may not work at the same time.

Whoever changes what the warehouse shows (load, retire) or rests a plan on it shares :data:`WAREHOUSE`; a purge has it
alone. Loads of one dataset into BigQuery, and plans of one version of a curriculum, come one after another.
"""

from abc import ABC, abstractmethod

WAREHOUSE = "warehouse"


def load_lock(dataset: str) -> str:
    """Return the name of the lock of the loads of a dataset."""
    return f"load-{dataset}"


def plan_lock(name: str, version: int) -> str:
    """Return the name of the lock of the planning of a version of a curriculum."""
    return f"plan-{name}.v{version}"


class StillLockedError(Exception):
    """Say that others still held a lock when the time to wait was over."""


class LostLockError(OSError):
    """Say that a lock was lost, because its holder could not renew it in time."""


class Lock(ABC):
    """A lock that is held."""

    @abstractmethod
    def check(self) -> None:
        """Make sure that the lock is still held, before something that cannot be undone.

        :raise LostLockError: When it is not; nothing may be changed then.
        """
