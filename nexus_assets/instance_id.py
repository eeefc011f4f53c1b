"""The id of a Dagster instance: what tells the pipeline jobs of its runs from those of another one."""

import uuid

import dagster as dg

_KEY = "nexus_instance_id"


def instance_id(instance: dg.DagsterInstance) -> str:
    """Return the id of an instance, given when it is asked for the first time and kept in its storage.

    :param instance: Dagster instance.
    :return: 32 hexadecimal digits.
    """
    storage = instance.daemon_cursor_storage
    known = storage.get_cursor_values({_KEY})
    if _KEY not in known:
        storage.set_cursor_values({_KEY: uuid.uuid4().hex})
        known = storage.get_cursor_values({_KEY})  # another process may have been faster
    return str(known[_KEY])
