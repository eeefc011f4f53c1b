"""Kill an operation at a step or a moment, let it run again or be forgotten, and say what is not as if it had not been.

Every kill begins from the same state and is a forked child that SIGKILLs itself; another child does what comes after.
"""

import gc
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.crash.answers import answers, compile_questions, glance, leftovers
from tests.crash.children import Ended, import_too, in_child
from tests.crash.places import Place
from tests.crash.steps import Steps
from tests.crash.story import Operation, purge_all

Then = Literal["again", "abandoned"]


@dataclass(frozen=True)
class Kill:
    """A kill: where, of what, at which step or after how many milliseconds, what came then, and what is wrong."""

    place: str
    operation: str
    at: str
    then: Then
    problems: list[str]


@dataclass(frozen=True)
class _State:
    """A state that nobody disturbed: what is answered, what is stored, and what a purge leaves of that."""

    answers: dict[str, Any]
    tree: dict[str, str]
    purged: dict[str, str]


@dataclass(frozen=True)
class _Undisturbed:
    """What an operation does when nobody kills it, in how many steps and seconds."""

    before: _State
    after: _State
    steps: int
    seconds: float


def kill_everywhere(place: Place, story: Sequence[Operation], sample: int | None, moments: int) -> Iterator[Kill]:
    """Go through a story and kill each operation.

    :param place: Where it happens; an empty place.
    :param story: The operations, in order.
    :param sample: How many steps of each operation to kill at, spread evenly; all by default, each once for either
        of what may come then.
    :param moments: How many random moments of each operation to kill at besides.
    :return: The kills, as they are made.
    """
    chance = random.Random(7)
    state: _State | None = None
    for place_in_story, operation in enumerate(story):
        if operation.prepare is not None:
            _succeed(place, operation.prepare)
        if operation.prepare is not None or state is None:
            place.save("before", apart=operation.loads)
            state = _look(place)
        undisturbed = _undisturbed(place, operation, state)
        compile_questions()
        gc.collect()
        gc.freeze()  # children copy fewer pages
        thens: list[Then] = ["again", "abandoned"]
        for number, step in enumerate(_spread(undisturbed.steps, sample)):
            for then in thens if sample is None else thens[(number + place_in_story) % 2 :][:1]:
                yield _kill(place, operation, undisturbed, then, step=step)
        for number in range(moments):
            seconds = chance.uniform(0, undisturbed.seconds)
            yield _kill(place, operation, undisturbed, thens[number % 2], seconds=seconds)
        place.restore("after", apart=True)
        place.save("before", apart=True)
        state = undisturbed.after


def notices_damage(place: Place) -> bool:
    """Kill an operation that is not made to be killed, and tell whether that is noticed.

    :param place: The place, in which nothing happens afterwards.
    :return: Whether a difference was seen.
    """

    def count(place: Place) -> None:
        store = place.store()
        ran = "again" if store.stat("inbox/ran") is not None else "once"
        store.write("inbox/ran", b"")
        store.write("inbox/count", ran.encode())

    operation = Operation("count", count)
    place.save("before", apart=True)
    undisturbed = _undisturbed(place, operation, _look(place))
    steps = _spread(undisturbed.steps, 3)
    return any(_kill(place, operation, undisturbed, "again", step=step).problems for step in steps)


def _kill(
    place: Place,
    operation: Operation,
    undisturbed: _Undisturbed,
    then: Then,
    *,
    step: int | None = None,
    seconds: float | None = None,
) -> Kill:
    place.restore("before", apart=operation.loads)

    def dying() -> None:
        Steps(place.watched, step)
        operation.run(place)

    ended = in_child(dying, place.folder, kill_after=seconds)
    at = f"step {step}" if step is not None else f"{1000 * (seconds or 0):.0f} ms"
    # It may have been faster than the clock, or have taken a step less than the undisturbed one.
    problems = [] if ended.status in (-9, 0) else [f"the killed process ended with {ended.status}"]
    place.let_leases_end()
    following = _again if then == "again" else _abandoned
    came = in_child(lambda: following(place, operation, undisturbed), place.folder)
    problems += came.result if came.status == 0 else [f"what came then ended with {came.status}"]
    return Kill(place.name, operation.name, at, then, problems)


def _again(place: Place, operation: Operation, undisturbed: _Undisturbed) -> list[str]:
    """Look at what the dead process left, run the operation again, and purge."""
    problems = _seen_between(place, operation, undisturbed)
    operation.run(place)
    found = answers(place)
    problems += [
        f"{name} answers differ" for name, answer in undisturbed.after.answers.items() if found[name] != answer
    ]
    problems += _different(undisturbed.after.tree, place.tree(), "run again")
    purge_all(place)
    problems += _different(undisturbed.after.purged, place.tree(), "run again and purged")
    return problems + [f"a purge leaves {name}" for name in leftovers(place)]


def _abandoned(place: Place, operation: Operation, undisturbed: _Undisturbed) -> list[str]:
    """Look at what the dead process left, never run the operation again, and purge."""
    problems = _seen_between(place, operation, undisturbed)
    purge_all(place)
    problems += [f"a purge leaves {name}" for name in leftovers(place)]
    if operation.abandoned == "before or after":
        tree = _kept(place.tree())
        wanted = [_kept(undisturbed.before.purged), _kept(undisturbed.after.purged)]
        if tree not in wanted:
            problems += _different(wanted[0], tree, "abandoned and purged")
    else:
        known = undisturbed.before.purged.keys() | undisturbed.after.purged.keys()
        problems += [f"abandoned: {name} is of nothing" for name in sorted(place.tree().keys() - known)]
    return problems


def _seen_between(place: Place, operation: Operation, undisturbed: _Undisturbed) -> list[str]:
    """Ask what people see between a crash and the next run: the state before or after, and nothing that is broken."""
    found = glance(place)
    problems = [f"{name} is visible and broken" for name in found["broken"]]
    if found["current"] not in [state.answers["current"] for state in (undisturbed.before, undisturbed.after)]:
        problems.append("what is current is neither what was before nor what comes after")
    return problems


def _undisturbed(place: Place, operation: Operation, before: _State) -> _Undisturbed:
    def run() -> tuple[int, float, list[str]]:
        steps, start = Steps(place.watched, None), time.monotonic()
        operation.run(place)
        return steps.taken, time.monotonic() - start, list(sys.modules)

    place.restore("before", apart=operation.loads)
    steps, seconds, modules = _succeed(place, run)
    import_too(modules)
    place.save("after", apart=operation.loads)
    return _Undisturbed(before, _look(place), steps, seconds)


def _look(place: Place) -> _State:
    """Ask a place everything, and purge it."""

    def look() -> tuple[Any, Any, Any, list[str]]:
        found, tree = answers(place), place.tree()
        purge_all(place)
        return found, tree, place.tree(), list(sys.modules)

    found, tree, purged, modules = _succeed(place, look)
    import_too(modules)
    return _State(found, tree, purged)


def _succeed(place: Place, work: Callable[..., Any]) -> Any:
    """Run work in a child that must succeed: the parent must stay without threads."""
    takes_place = work.__code__.co_argcount == 1
    ended: Ended = in_child((lambda: work(place)) if takes_place else work, place.folder)
    if ended.status:
        raise RuntimeError(f"{work.__qualname__} failed undisturbed in a {place.name}")
    return ended.result


def _spread(steps: int, sample: int | None) -> Sequence[int]:
    if sample is None or sample >= steps:
        return range(1, steps + 1)
    return [1 + (2 * number + 1) * steps // (2 * sample) for number in range(sample)]


def _kept(tree: dict[str, str]) -> dict[str, str]:
    """Leave out what the latest check said of a dataset: it is replaced by the next, and is of no ingest."""
    return {name: mark for name, mark in tree.items() if not name.startswith("reports/")}


def _different(wanted: dict[str, str], found: dict[str, str], when: str) -> list[str]:
    """Name what differs. The records of tasks are history, which says what was there already; a purge takes all."""
    names = {name for name, _ in wanted.items() ^ found.items()}
    if "purged" not in when:
        names = {name for name in names if not name.startswith("tasks/")}
    return [f"{when}: {name} {_how(name, wanted, found)}" for name in sorted(names)]


def _how(name: str, wanted: dict[str, str], found: dict[str, str]) -> str:
    return "is missing" if name not in found else "is too much" if name not in wanted else "has other bytes"
