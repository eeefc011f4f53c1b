"""The commit protocol as designed, small enough to look at every interleaving of a few processes, with crashes.

A world is what is durable: files of rows of ``ingest_info``, rows in two data tables, ingest files, pins of plans, and
who holds the lock. A process takes one durable step at a time; the search takes every step of every process in every
reachable state, and may kill each process anywhere, which frees its lock and lets it begin again.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

TABLES = ("raw_counts", "cell_info")
SOURCES = {"a1": "a", "a2": "a", "b1": "b"}
"""Ingests and the source file that each was made from."""

Row = tuple[int, str, bool]
"""A row of ``ingest_info``: time, ingest, whether it retires it."""


class Durable(NamedTuple):
    """What survives every process."""

    rows: frozenset[tuple[int, frozenset[Row]]]
    tables: frozenset[tuple[str, str]]
    ingest_files: frozenset[str]
    pins: frozenset[str] = frozenset()
    sharing: frozenset[int] = frozenset()
    alone: int | None = None
    told_purged: frozenset[str] = frozenset()


class Process(NamedTuple):
    """A process: what it does, with which ingests, where it is, what it remembers, how often it may yet be killed."""

    does: str
    ingests: tuple[str, ...] = ()
    at: int = 0
    memory: Any = ()
    lives: int = 0
    ended: str = ""


State = tuple[Durable, tuple[Process, ...]]
Steps = list[Callable[[Durable, Process, int], Iterator[tuple[Durable, Process]]]]


class Violation(NamedTuple):
    """What is wrong with a reachable state, and the steps that lead to it."""

    what: str
    path: list[str]


def newest(durable: Durable) -> dict[str, Row]:
    """Return the newest row of each ingest that has one."""
    rows = sorted(row for _, file in durable.rows for row in file)
    return {row[1]: row for row in rows}


def current(durable: Durable) -> set[str]:
    """Return the ingests that are current: committed last of their source, and not retired since."""
    rows, committed = newest(durable), commit_times(durable)
    last = {SOURCES[ingest]: ingest for ingest in sorted(committed, key=lambda ingest: (committed[ingest], ingest))}
    return {ingest for ingest in last.values() if not rows[ingest][2]}


def commit_times(durable: Durable) -> dict[str, int]:
    """Return when each ingest was committed last."""
    commits = sorted(row for _, file in durable.rows for row in file if not row[2])
    return {ingest: time for time, ingest, _ in commits}


def search(start: Durable, processes: tuple[Process, ...], *, locked: bool = True) -> tuple[int, Violation | None]:
    """Look at every reachable state.

    :param start: What is durable at first.
    :param processes: The processes, none of which has begun.
    :param locked: Whether they take the lock, as they do, or not, as they once did not.
    :return: The number of states, and the first that must not be, if any.
    """
    first: State = (start, processes)
    before: dict[State, tuple[State, str] | None] = {first: None}
    queue = deque([first])
    while queue:
        state = queue.popleft()
        wrong = _wrong(state)
        if wrong:
            return len(before), Violation(wrong, list(_path(state, before)))
        for step, after in _after(state, locked=locked):
            if after not in before:
                before[after] = (state, step)
                queue.append(after)
    return len(before), None


def _path(state: State, before: dict[State, tuple[State, str] | None]) -> list[str]:
    steps: list[str] = []
    while (came := before[state]) is not None:
        state, step = came
        steps.append(step)
    return steps[::-1]


def _wrong(state: State) -> str:
    durable, processes = state
    rows = newest(durable)
    for ingest in rows:
        if any((table, ingest) not in durable.tables for table in TABLES):
            return f"{ingest} is visible and not whole"
    for ingest in durable.pins - rows.keys():
        return f"{ingest} is pinned and gone"
    if all(process.ended for process in processes):
        for process in processes:
            for ingest in process.ingests if (process.does, process.ended) == ("load", "done") else ():
                if ingest not in rows and ingest not in durable.told_purged:
                    return f"{ingest} was loaded and is lost"
    return ""


def _after(state: State, *, locked: bool) -> Iterator[tuple[str, State]]:
    durable, processes = state
    for number, process in enumerate(processes):
        if process.ended:
            continue
        steps = PROGRAMS[process.does]
        name = f"{number} {process.does} {process.at}"
        for then, moved in steps[process.at](durable, process, number if locked else -1):
            yield name, (then, _with(processes, number, moved))
        if process.at and process.lives:
            killed = process._replace(at=0, memory=(), lives=process.lives - 1)
            yield f"{name} killed", (_freed(durable, number), _with(processes, number, killed))


def _with(processes: tuple[Process, ...], number: int, process: Process) -> tuple[Process, ...]:
    return (*processes[:number], process, *processes[number + 1 :])


def _freed(durable: Durable, number: int) -> Durable:
    return durable._replace(
        sharing=durable.sharing - {number}, alone=None if durable.alone == number else durable.alone
    )


def _share(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    if number < 0:
        yield durable, process._replace(at=process.at + 1)
    elif durable.alone is None:
        yield durable._replace(sharing=durable.sharing | {number}), process._replace(at=process.at + 1)


def _alone(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    if number < 0:
        yield durable, process._replace(at=process.at + 1)
    elif durable.alone is None and not durable.sharing:
        yield durable._replace(alone=number), process._replace(at=process.at + 1)


def _end(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    yield _freed(durable, number), process._replace(memory=(), ended="done")


def _time(durable: Durable) -> int:
    return 1 + max((time for time, _ in durable.rows), default=0)


def _look_at_current(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    seen = current(durable)
    wanted = tuple(ingest for ingest in process.ingests if ingest not in seen)
    places = tuple((table, ingest) for table in TABLES for ingest in wanted)
    yield durable, process._replace(at=process.at + 1, memory=(wanted, places))


def _add(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    wanted, places = process.memory
    if not places:
        yield durable, process._replace(at=process.at + 1)
    elif places[0][1] not in durable.ingest_files:  # "run the ingest again"
        yield _freed(durable, number), process._replace(memory=(), ended="told to ingest again")
    else:
        yield (
            durable._replace(tables=durable.tables | {places[0]}),
            process._replace(memory=(wanted, places[1:])),
        )


def _commit(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    time = _time(durable)
    rows = frozenset((time, ingest, False) for ingest in process.memory[0])
    made = durable.rows | {(time, rows)} if rows else durable.rows
    yield durable._replace(rows=made), process._replace(at=process.at + 1, memory=())


def _see_what_to_retire(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    times = commit_times(durable)
    chosen = tuple(sorted((times[ingest], ingest) for ingest in current(durable) if SOURCES[ingest] in process.ingests))
    yield durable, process._replace(at=process.at + 1, memory=chosen)


def _retire(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    time = _time(durable)
    rows = frozenset((time, ingest, True) for _, ingest in process.memory)
    kept = frozenset((committed, ingest, False) for committed, ingest in process.memory)  # one row says both
    made = durable.rows | {(time, rows | kept)} if rows else durable.rows
    yield durable._replace(rows=made), process._replace(at=process.at + 1, memory=())


def _select(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    chosen = tuple(sorted(current(durable)))
    if chosen:
        yield durable, process._replace(at=process.at + 1, memory=chosen)
    else:
        yield _freed(durable, number), process._replace(memory=(), ended="nothing to plan")


def _pin(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    yield durable._replace(pins=durable.pins | set(process.memory)), process._replace(at=process.at + 1)


def _see_what_to_purge(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    rows = newest(durable)
    unneeded = set(rows) - current(durable) - durable.pins
    orphans = {ingest for _, ingest in durable.tables} - set(rows)
    chosen = tuple(sorted(unneeded | orphans))
    told = durable._replace(told_purged=durable.told_purged | unneeded)
    yield told, process._replace(at=process.at + 1, memory=(chosen, tuple(sorted(durable.rows, key=str)), None))


def _withdraw(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    chosen, files, read = process.memory
    if not files:
        places = tuple((table, ingest) for ingest in chosen for table in (*TABLES, "ingest files"))
        yield durable, process._replace(at=process.at + 1, memory=places)
        return
    time = files[0][0]
    kept = frozenset(row for row in files[0][1] if row[1] not in chosen)
    following = process._replace(memory=(chosen, files[1:], None))
    if read is None:
        found = files[0] in durable.rows and kept != files[0][1]
        yield durable, process._replace(memory=(chosen, files, True)) if found else following
    elif kept and (time, kept) not in durable.rows:  # beside the file that it takes the place of
        yield durable._replace(rows=durable.rows | {(time, kept)}), process
    else:
        yield durable._replace(rows=durable.rows - {files[0]}), following


def _remove(durable: Durable, process: Process, number: int) -> Iterator[tuple[Durable, Process]]:
    if not process.memory:
        yield durable, process._replace(at=process.at + 1)
        return
    table, ingest = process.memory[0]
    then = durable._replace(tables=durable.tables - {(table, ingest)})
    if table == "ingest files":
        then = then._replace(ingest_files=then.ingest_files - {ingest})
    yield then, process._replace(memory=process.memory[1:])


PROGRAMS: dict[str, Steps] = {
    "load": [_share, _look_at_current, _add, _commit, _end],
    "retire": [_share, _see_what_to_retire, _retire, _end],
    "plan": [_share, _select, _pin, _end],
    "purge": [_alone, _see_what_to_purge, _withdraw, _remove, _end],
}


def loaded(*loads: tuple[str, ...]) -> Durable:
    """Return a world after undisturbed loads, in which every ingest file is there."""
    durable = Durable(frozenset(), frozenset(), frozenset(SOURCES))
    for ingests in loads:
        state: State = (durable, (Process("load", ingests),))
        while not state[1][0].ended:
            ((_, state),) = _after(state, locked=True)
        durable = state[0]
    return durable


LOAD_OLD, LOAD_NEW, LOAD_OTHER = (Process("load", (ingest,)) for ingest in SOURCES)
LOAD_ALL = Process("load", ("a2", "b1"))
RETIRE, RETIRE_OTHER = Process("retire", ("a",)), Process("retire", ("b",))
PLAN, PURGE = Process("plan"), Process("purge")

SCENARIOS: dict[str, tuple[Durable, tuple[Process, ...]]] = {
    "the old version is loaded again while it is purged": (loaded(("a1",), ("a2",)), (LOAD_OLD, PURGE)),
    "two purges of different sight": (loaded(("a1", "b1"), ("a2",)), (PURGE, PURGE, RETIRE_OTHER)),
    "replaced while it is planned and purged": (loaded(("a1",)), (PLAN, LOAD_NEW, PURGE)),
    "retired while it is planned and purged": (loaded(("a1",)), (PLAN, RETIRE, PURGE)),
    "retired while a purge has looked": (loaded(("a1",), ("a2",)), (RETIRE, LOAD_OLD, PURGE)),
    "the same twice, and purged": (loaded(("a1",)), (LOAD_ALL, LOAD_ALL, PURGE)),
    "two versions at once, and purged": (loaded(("b1",)), (LOAD_OLD, LOAD_NEW, PURGE)),
}
