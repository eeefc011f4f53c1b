"""The asset graph as a Markdown page: assets and their checks, jobs, sensors, schedules."""

import tempfile
from collections import defaultdict

import dagster as dg

_INTRODUCTION = """# Assets, checks and automation

What the web UI shows, of the local deployment; on Google Cloud only the kinds differ. Written by `make docs`.
"""


def graph_page() -> str:
    """Return the page.

    :return: Markdown, ending in a newline.
    """
    from nexus_assets.definitions import build_defs
    from nexus_resources.deployment import deployment_resources
    from nexus_resources.settings import read_settings

    with tempfile.TemporaryDirectory() as folder:
        definitions = build_defs(deployment_resources(read_settings({"NEXUS_ROOT": folder})))
        return "\n".join([_INTRODUCTION, *_assets(definitions), *_jobs(definitions), *_automation(definitions)])


def _assets(definitions: dg.Definitions) -> list[str]:
    graph = definitions.resolve_asset_graph()
    checks: dict[dg.AssetKey, list[tuple[str, str]]] = defaultdict(list)
    for key in sorted(graph.asset_check_keys, key=lambda key: key.to_user_string()):
        checks[key.asset_key].append((key.name, graph.get(key).description or ""))
    parts: list[str] = []
    group = ""
    order = ("ingest", "warehouse", "curriculum", "ops")
    specs = definitions.resolve_all_asset_specs()
    for spec in sorted(specs, key=lambda spec: (order.index(spec.group_name or "ops"), spec.key.path)):
        if spec.group_name != group:
            group = spec.group_name or ""
            parts.append(f"## Group `{group}`\n")
        node = graph.get(spec.key)
        partitions = node.partitions_def
        name = partitions.name if isinstance(partitions, dg.DynamicPartitionsDefinition) else "none"
        made = "made by a run" if node.is_materializable else "observed by the landing sensor"
        after = ", ".join(f"`{dep.asset_key.to_user_string()}`" for dep in spec.deps) or "nothing"
        parts.append(f"### `{spec.key.to_user_string()}`\n\n{spec.description}\n")
        parts.append(f"Partitions: {name}; {made}; after {after}.\n")
        parts += [f"* check `{name}`: {text}" for name, text in checks[spec.key]]
        if checks[spec.key]:
            parts.append("")
    return parts


def _jobs(definitions: dg.Definitions) -> list[str]:
    jobs = definitions.get_repository_def().get_all_jobs()
    named = sorted((job for job in jobs if not job.name.startswith("__")), key=lambda job: job.name)
    rows = [f"| `{job.name}` | {job.description or ''} |" for job in named]
    return ["## Jobs\n", "| job | what it does |", "|---|---|", *rows, ""]


def _automation(definitions: dg.Definitions) -> list[str]:
    repository = definitions.get_repository_def()
    rows = [
        f"| sensor `{sensor.name}` | every {sensor.minimum_interval_seconds} s | {sensor.description or ''} |"
        for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name)
    ]
    rows += [
        f"| schedule `{schedule.name}` | `{schedule.cron_schedule}` {schedule.execution_timezone} | "
        f"{schedule.description or ''} |"
        for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name)
    ]
    return ["## Sensors and schedules\n", "| name | when | what it does |", "|---|---|---|", *rows, ""]
