"""Where the landing sensor keeps what it has taken: beside its cursor, which Dagster copies into every tick.

With ten thousand datasets that is a megabyte, every five seconds. So the cursor only names one of two places in the
instance's storage, in turns: a tick that changes something writes the other one, and Dagster keeps the cursor when
what the tick asked for is done. Until then, whatever happens, the cursor names the place as it was.
"""

import dagster as dg

from nexus_assets.landing import LandingCursor
from omics_datastore.keys import digest

_KEYS = {"a": "nexus_landing_a", "b": "nexus_landing_b"}


def read_state(instance: dg.DagsterInstance, cursor: str | None) -> LandingCursor:
    """Return what was taken so far.

    :param instance: Dagster instance.
    :param cursor: Cursor of the sensor; one of an older Nexus holds everything itself.
    :return: What was taken; nothing for no cursor, and for one whose place holds something else.
    """
    if not cursor or cursor.startswith("{"):
        return LandingCursor.parse(cursor)
    place, _, mark = cursor.partition(":")
    text = instance.daemon_cursor_storage.get_cursor_values({_KEYS[place]}).get(_KEYS[place], "")
    return LandingCursor.parse(text if _mark(text) == mark else None)


def write_state(instance: dg.DagsterInstance, cursor: str | None, state: LandingCursor) -> str:
    """Keep what was taken so far.

    :param instance: Dagster instance.
    :param cursor: Cursor of the sensor as it was; what it names stays.
    :param state: What was taken.
    :return: The cursor to name it by; the same when nothing changed.
    """
    text = state.format()
    place, _, mark = (cursor or "").partition(":")
    if mark == _mark(text):
        return str(cursor)
    other = "b" if place == "a" else "a"
    instance.daemon_cursor_storage.set_cursor_values({_KEYS[other]: text})
    return f"{other}:{_mark(text)}"


def _mark(text: str) -> str:
    return digest(text)[:16]
