"""What 100 million and 1 billion cells cost and how long they take, beside the system that Nexus replaces.

    python -m benchmarks.scale_cost > docs/scale.md      # a test holds that the page is current

The arithmetic and the page; the inputs are in :mod:`benchmarks.scale_inputs`.
"""

import math
from dataclasses import dataclass

from benchmarks.scale_inputs import INPUTS, value

TIB, GIB, GB = 2**40, 2**30, 10**9
SCALES = (100_000_000, 1_000_000_000)
_SECONDS_AN_HOUR = 3600


@dataclass(frozen=True)
class Line:
    """One step: what it costs (US dollars) and how long it takes (hours); ``spot`` is its cost on spot machines."""

    step: str
    usd: float
    hours: float
    spot: float
    how: str


@dataclass(frozen=True)
class Compute:
    """A fan-out on Vertex AI."""

    vcpu_hours: float
    hours: float

    @property
    def usd(self) -> float:
        """Return the cost on demand."""
        return self.vcpu_hours * value("machine_price") * value("vertex_factor") + value("pipeline_price")

    @property
    def spot(self) -> float:
        """Return the cost on spot machines."""
        return self.vcpu_hours * value("spot_price") * value("vertex_factor") + value("pipeline_price")

    @property
    def task_minutes(self) -> float:
        """Return the minutes of all tasks."""
        return self.vcpu_hours / value("vcpus") * 60


def compute(cells: float, rate: float, nonzeros: float) -> Compute:
    """Spread cells over tasks.

    :param cells: Cells.
    :param rate: Cells a CPU second at the density of the measurement.
    :param nonzeros: That density, nonzeros a cell.
    :return: The fan-out.
    """
    at_reference = rate * nonzeros / value("nonzeros")
    vcpu_hours = cells / at_reference / _SECONDS_AN_HOUR / value("efficiency")
    waves = math.ceil(cells / value("cells_a_task") / value("parallelism"))
    hours = vcpu_hours / (value("vcpus") * value("parallelism")) + waves * value("start_hours")
    return Compute(vcpu_hours, hours)


def measured_bytes(name: str) -> float:
    """Return bytes a cell at the reference density from those at the measured one."""
    return value(name) * value("nonzeros") / value("measured_nonzeros")


def counts_bytes() -> float:
    """Return the logical bytes of a row of ``raw_counts`` in BigQuery: two arrays of INT64 and the keys."""
    return 2 * value("int64") * value("nonzeros") + value("key_bytes")


def old_counts_bytes() -> float:
    """Return the logical bytes of a cell in the old table of coordinates."""
    return value("old_values") * value("int64") * value("nonzeros")


def _query(size: float, step: str, how: str) -> Line:
    usd = size / TIB * value("query_price")
    return Line(step, usd, size / GB / value("query_rate") / _SECONDS_AN_HOUR, usd, how)


def _tasks(work: Compute, step: str, also: float, how: str) -> Line:
    minutes = f"{work.vcpu_hours:,.0f} vCPU hours, {work.task_minutes:,.0f} Vertex minutes"
    return Line(step, work.usd + also, work.hours, work.spot + also, f"{minutes}{how}")


def _kept(parts: dict[str, float], step: str) -> Line:
    usd = sum(parts.values())
    return Line(step, usd, 0, usd, ", ".join(f"{name} {_money(part)}" for name, part in parts.items()))


def nexus(cells: int) -> dict[str, list[Line]]:
    """Return the steps of Nexus by what somebody asks for.

    :param cells: Cells in the warehouse, all of which are in the curriculum.
    :return: Lines.
    """
    density = value("measured_nonzeros")
    ingest = compute(cells, value("ingest_rate"), density)
    extract = compute(cells, value("extract_rate"), density)
    parquet = cells * (measured_bytes("ingest_bytes") + value("cell_bytes"))
    read = cells * counts_bytes()
    shards = cells * measured_bytes("shard_bytes")
    writes = cells / value("bin_size") * 2 * value("write_price")
    plan_hours = cells / value("plan_rate") / _SECONDS_AN_HOUR
    plan_usd = cells * value("plan_bytes") / TIB * value("query_price")
    plan = Line(
        "plan", plan_usd, plan_hours, plan_usd, f"{_size(cells * value('plan_bytes'))} scanned; one process writes it"
    )
    shards_line = _tasks(
        extract, "extract", read / TIB * value("read_price") + writes, f"; {_size(read)} read as Arrow"
    )
    shuffle = _query(read, "shuffle by bin", f"{_size(read)} scanned once, into a table clustered by bin")
    return {
        "bring in": [
            _tasks(ingest, "ingest files", 0, f"; {_size(parquet)} of Parquet"),
            Line("load", 0, parquet / GB / value("load_rate") / _SECONDS_AN_HOUR, 0, "batch load jobs are free"),
        ],
        "keep for a month": [
            _kept(
                {
                    "source files": cells * measured_bytes("source_bytes") / GB * value("bucket_price"),
                    "ingest files": parquet / GB * value("bucket_price"),
                    "BigQuery, physical": parquet * value("physical") / GIB * value("physical_price"),
                },
                "storage",
            )
        ],
        "a curriculum of all cells, order store": [plan, shards_line],
        "a curriculum of all cells, order exact": [plan, shuffle, shards_line],
        "keep its shards for a month": [_kept({"shards": shards / GB * value("bucket_price")}, "storage")],
    }


def old_system(cells: int) -> dict[str, list[Line]]:
    """Return the steps of the old system under the same names.

    :param cells: Cells.
    :return: Lines.
    """
    density = value("old_nonzeros")
    ingest = compute(cells, value("old_ingest_rate"), density)
    extract = compute(cells, value("old_extract_rate"), density)
    table = cells * old_counts_bytes()
    read = cells * counts_bytes()
    curriculum = [
        _query(table, "prepare", f"{_size(table)} scanned: the whole table, every time"),
        _tasks(extract, "extract", read / TIB * value("read_price"), f"; {_size(read)} read as Avro"),
    ]
    return {
        "bring in": [
            _tasks(ingest, "ingest files", 0, ""),
            _query(table, "load", f"{_size(table)} copied from staging tables by a query"),
        ],
        "keep for a month": [_kept({"BigQuery, logical": table / GIB * value("logical_price")}, "storage")],
        "a curriculum of all cells, order store": curriculum,
        "a curriculum of all cells, order exact": curriculum,
    }


def total(lines: list[Line]) -> Line:
    """Add lines up; steps follow one another."""
    return Line(
        "total",
        sum(line.usd for line in lines),
        sum(line.hours for line in lines),
        sum(line.spot for line in lines),
        "",
    )


def _money(usd: float) -> str:
    return f"{usd:,.0f}" if usd >= 10 else f"{usd:.2f}"


def _time(hours: float) -> str:
    return "" if hours == 0 else f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def _size(count: float) -> str:
    return f"{count / 10**12:,.1f} TB" if count >= 10**12 else f"{count / GB:,.0f} GB"


def _table(cells: int) -> list[str]:
    rows = ["| | Nexus, USD | on spot | time | the old system, USD | time |", "|---|---:|---:|---:|---:|---:|"]
    ours, theirs = nexus(cells), old_system(cells)
    for asked, lines in ours.items():
        mine, old = total(lines), total(theirs[asked]) if asked in theirs else None
        before = f"{_money(old.usd)} | {_time(old.hours)}" if old else "the same | "
        rows.append(f"| {asked} | **{_money(mine.usd)}** | {_money(mine.spot)} | {_time(mine.hours)} | {before} |")
    return rows


def _steps(cells: int) -> list[str]:
    rows = ["| | step | USD | time | how |", "|---|---|---:|---:|---|"]
    for who, made in (("Nexus", nexus(cells)), ("old", old_system(cells))):
        for asked, lines in made.items():
            for line in lines:
                cells_of_row = (f"{who}: {asked}", line.step, _money(line.usd), _time(line.hours), line.how)
                rows.append(f"| {' | '.join(cells_of_row)} |")
    return rows


_HEAD = """\
# Scale on paper

Written by `python -m benchmarks.scale_cost`; do not edit. What cannot be known without the cloud is an assumption here
and is named as one in the table of inputs. The two systems are counted with the same machines, prices and parallelism;
steps follow one another. The old system has one order, the exact one."""


def page() -> str:
    """Return ``docs/scale.md``."""
    lines = [_HEAD]
    for cells in SCALES:
        title = f"## {cells // 10**6:,} million cells"
        lines += ["", title, "", *_table(cells), "", "Step by step, on demand:", "", *_steps(cells)]
    return "\n".join([*lines, *_reading(), *_inputs()]) + "\n"


def _reading() -> list[str]:
    asked = "a curriculum of all cells, order store"
    store, old = (total(made[asked]) for made in (nexus(SCALES[0]), old_system(SCALES[0])))
    plan = nexus(SCALES[1])[asked][0]
    read, scanned = (_size(SCALES[0] * size) for size in (counts_bytes(), old_counts_bytes()))
    logical = SCALES[0] * counts_bytes() / GIB * value("logical_price")
    physical = SCALES[0] * measured_bytes("ingest_bytes") * value("physical") / GIB * value("physical_price")
    ours, theirs = _money(store.usd), _money(old.usd)
    return [
        "",
        "## What it says",
        "",
        f"* A curriculum of 100 million cells in store order costs {ours} USD against {theirs} USD: no query touches",
        f"  the counts. {read} are read, where {scanned} were scanned first and {read} read afterwards.",
        "* An exact shuffle pays for one scan of the counts; that is why store order is the default.",
        "* Most of what is paid is storage. Billed by physical bytes the counts of 100 million cells cost",
        f"  {_money(physical)} USD a month, by logical ones {_money(logical)} USD, if BigQuery compresses as assumed.",
        f"* One process writes the plan: {_time(plan.hours)} at a billion cells, longer than the extraction. It is the",
        "  next thing to spread.",
        "* Machines cost little on either side. Clock time is what parallelism and quotas make of it.",
    ]


def _inputs() -> list[str]:
    rows = ["", "## Inputs", "", "| input | value | kind | from |", "|---|---|---|---|"]
    for name, found in INPUTS.items():
        rows.append(f"| {name} | {found.value:,.10g} {found.unit} | {found.kind} | {found.source} |")
    return rows


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - what the program is for
