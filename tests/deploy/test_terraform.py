"""The Terraform of the deployment, judged by Terraform itself: form, references, arguments, and what it plans."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nexus_resources.cloud_run_launcher import CloudRunLauncher
from nexus_resources.pipelines.machines import Machine, parse_machines
from nexus_resources.settings import read_settings
from omics_datastore.storage import layout
from tests.deploy.terraform_world import ROOT, SOURCE, Terraform, copy_terraform, resources
from tests.emulators.terraform.provider import providers

AGREED = [
    *("DEPLOYMENT", "ROOT", "PROJECT", "LOCATION", "REGION", "BIGQUERY_DATASET", "WORKER_IMAGE", "SERVICE_ACCOUNT"),
    *("SPOT", "MACHINES", "MAXIMUM_BYTES_BILLED", "LABELS", "DAGSTER_HOME", "CLIENT_CALLS"),
    "WEB_ADDRESS",
]
FILES = sorted(SOURCE.glob("*.tf"))
TEXT = "\n".join(path.read_text() for path in FILES)


@pytest.fixture(scope="module")
def variables() -> Iterator[dict[str, str]]:
    with providers() as found:
        yield found


@pytest.fixture(scope="module")
def terraform(variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    return copy_terraform(tmp_path_factory.mktemp("deploy") / "terraform", variables)


@pytest.fixture(scope="module")
def plan(terraform: Terraform) -> dict[str, Any]:
    return terraform.plan()


def test_form(terraform: Terraform) -> None:
    done = Terraform(SOURCE, terraform.variables).run("fmt", "-check", "-diff", "-recursive")
    assert (done.returncode, done.stdout) == (0, "")


def test_it_is_valid(terraform: Terraform) -> None:
    done = terraform.run("validate")
    assert done.returncode == 0, done.stderr


WRONG_ARGUMENTS = [
    ("warehouse.tf", "storage_billing_model", "storage_billing_mode", "Unsupported argument"),
    ("storage.tf", "  versioning {", "  version {", "Unsupported block type"),
    ("database.tf", "    tier                        = var.database_tier\n", "", "Missing required argument"),
    ("database.tf", "disk_size                   = 20", 'disk_size = "big"', "a number is required"),
]
WRONG_NAMES = [
    ("run.tf", "google_compute_network.nexus.id", "google_compute_network.atlas.id", "undeclared resource"),
]
WRONG_VARIABLE = [("locals.tf", "var.spot ?", "var.spots ?", "undeclared input variable")]


@pytest.mark.parametrize(
    "mistakes", [WRONG_ARGUMENTS, WRONG_NAMES, WRONG_VARIABLE], ids=["arguments", "names", "variable"]
)
def test_what_is_wrong_is_found(
    variables: dict[str, str], tmp_path: Path, mistakes: list[tuple[str, str, str, str]]
) -> None:
    """The test above can fail: Terraform knows the resources' arguments here as it does with Google's provider."""
    wrong = copy_terraform(tmp_path / "terraform", variables)
    for file, old, new, _ in mistakes:
        text = (wrong.folder / file).read_text()
        assert old in text
        (wrong.folder / file).write_text(text.replace(old, new))
    done = wrong.run("validate")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert [message for *_, message in mistakes if message not in said] == []


def test_variables_are_described_checked_and_used() -> None:
    declared = re.findall(
        r'^variable "(\w+)" \{\n(.*?)^\}', (SOURCE / "variables.tf").read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(declared) > 20
    for name, body in declared:
        assert re.search(r'description = "[A-Z].+\."\n|description = "[A-Z].+"\n', body), name
        assert len(re.findall(rf"\bvar\.{name}\b", TEXT)) > body.count(f"var.{name}"), f"{name} is not used"
        free = re.search(r"type\s+= (bool|map\(object)", body) or name == "database_tier"
        assert free or "validation {" in body, f"{name} has no condition"


def test_wrong_values_are_refused_in_one_sentence(terraform: Terraform) -> None:
    wrong = {
        "project": "My Project",
        "region": "europe-west4-a",
        "location": "eu",
        "prefix": "/nexus/",
        "dataset": "nexus-data",
        "platform_image": "nexus:latest",
        "worker_image": "nexus-worker@sha256:123",
        "domain": "nexus",
        "operators": '["allUsers"]',
        "viewers": '["domain:example.org"]',
        "data_writers": '["allAuthenticatedUsers"]',
        "billing_account": "1234",
        "monthly_budget": "0",
        "labels": '{Team="A"}',
        "kms_key": "my-key",
        "pipeline_network": "projects/atlas/global/networks/n",
        "maximum_bytes_billed": "1",
        "run_timeout_hours": "200",
        "run_memory": "8GB",
        "client_calls": "worker",
        "spot": "true",
        "settings": '{workers="8"}',
    }
    done = terraform.run("plan", "-input=false", *[f"-var={name}={value}" for name, value in wrong.items()])
    assert done.returncode == 1
    refused = set(re.findall(r'variable "(\w+)" \{', done.stderr))
    assert refused == set(wrong)


def test_nothing_is_public(plan: dict[str, Any]) -> None:
    for address, values in resources(plan).items():
        members = [values.get("member"), *(values.get("members") or [])]
        assert not {"allUsers", "allAuthenticatedUsers"} & set(members), address
        assert not any(str(member).startswith("domain:") for member in members), address
    for address, bucket in resources(plan, "google_storage_bucket").items():
        assert bucket["uniform_bucket_level_access"], address
        assert bucket["public_access_prevention"] == "enforced", address
        assert not bucket["force_destroy"], address
    (database,) = resources(plan, "google_sql_database_instance").values()
    (network,) = database["settings"][0]["ip_configuration"]
    assert (network["ipv4_enabled"], network["ssl_mode"]) == (False, "ENCRYPTED_ONLY")
    assert database["settings"][0]["backup_configuration"][0]["point_in_time_recovery_enabled"]
    for address, service in resources(plan, "google_cloud_run_v2_service").items():
        assert service["ingress"] == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER", address
    for address, backend in resources(plan, "google_compute_backend_service").items():
        assert backend["iap"][0]["enabled"], address


def test_no_secret_is_in_the_plan(plan: dict[str, Any]) -> None:
    (user,) = resources(plan, "google_sql_user").values()
    (version,) = resources(plan, "google_secret_manager_secret_version").values()
    assert (user["password"], user["password_wo"], version["secret_data"], version["secret_data_wo"]) == (None,) * 4
    assert user["password_wo_version"] == version["secret_data_wo_version"] == 1
    assert "made-up-result" not in str(plan)


def test_storage(plan: dict[str, Any]) -> None:
    (dataset,) = resources(plan, "google_bigquery_dataset").values()
    assert dataset["storage_billing_model"] == "PHYSICAL"
    data = resources(plan, "google_storage_bucket")["google_storage_bucket.data"]
    assert dataset["location"] == data["location"] == "europe-west4"
    assert data["versioning"] == [{"enabled": True}]
    prefixes = [rule["condition"][0]["matches_prefix"] for rule in data["lifecycle_rule"]]
    assert [f"nexus/{layout.PIPELINES}", f"nexus/{layout.TASKS}"] in prefixes
    drops = resources(plan, "google_storage_bucket_iam_member")
    (drop,) = [values for address, values in drops.items() if ".drop[" in address]
    folders = re.findall(r"objects/nexus/([\w/]+)'", drop["condition"][0]["expression"])
    assert folders == [layout.INBOX, layout.FEATURE_SCHEMAS, layout.SPECIFICATIONS]
    (read,) = [values for address, values in drops.items() if ".read_curricula[" in address]
    assert f"objects/nexus/{layout.EXTRACTS}'" in read["condition"][0]["expression"]


def _containers(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for address, values in resources(plan).items():
        (template,) = values.get("template") or [{}]
        (template,) = template.get("template") or [template]
        for container in template.get("containers") or []:
            found[address] = {**container, "service_account": template["service_account"]}
    return found


def test_containers(plan: dict[str, Any]) -> None:
    containers = _containers(plan)
    starts = {address: [*made["command"], *made["args"]] for address, made in containers.items()}
    assert len(starts) == 4
    operators, viewers = (f'google_cloud_run_v2_service.web["{who}"]' for who in ("operators", "viewers"))
    assert starts[viewers] == [*starts[operators], "--read-only"]
    assert starts[operators][:4] == ["python", "-P", "-m", "nexus_assets.web_server"]
    told = [{entry["name"]: entry.get("value") for entry in containers[web]["env"]} for web in (operators, viewers)]
    assert [names["NEXUS_WEB_ADDRESS"] for names in told] == [
        "https://nexus.example.org",
        "https://view.nexus.example.org",
    ]
    assert starts["google_cloud_run_v2_worker_pool.daemon"][:2] == ["dagster-daemon", "run"]
    assert starts["google_cloud_run_v2_job.run"][0] == "dagster"
    accounts = {address: str(made["service_account"]).split("@")[0] for address, made in containers.items()}
    assert accounts.pop(viewers) == "nexus-production-viewer"
    assert set(accounts.values()) == {"nexus-production-dagster"}
    assert {made["image"] for made in containers.values()} == {f"REGISTRY_URI/platform@sha256:{'0' * 64}"}
    (pool,) = resources(plan, "google_cloud_run_v2_worker_pool").values()
    assert pool["scaling"][0]["manual_instance_count"] == 1
    (job,) = resources(plan, "google_cloud_run_v2_job").values()
    assert job["template"][0]["template"][0]["max_retries"] == 0


def test_environment(plan: dict[str, Any]) -> None:
    """What the containers are told is what ``dagster.yaml`` and the settings read."""
    read = set(re.findall(r"env: (\w+)", (ROOT / "deploy/dagster.yaml").read_text()))
    for address, container in _containers(plan).items():
        told = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert read <= set(told), address
        assert {f"NEXUS_{name}" for name in AGREED} <= set(told), address
        assert told["DAGSTER_HOME"] == told["NEXUS_DAGSTER_HOME"] == "/opt/dagster"
        assert told["PGSSLMODE"] == "require"
        (job,) = resources(plan, "google_cloud_run_v2_job").values()
        assert CloudRunLauncher(told["DAGSTER_RUN_JOB"]).job.endswith(f"/jobs/{job['name']}")
        password = next(entry for entry in container["env"] if entry["name"] == "DAGSTER_POSTGRES_PASSWORD")
        assert password["value_source"][0]["secret_key_ref"][0]["secret"].endswith("-database-password")
    shown = plan["planned_values"]["outputs"]["environment"]["value"]
    exported = dict(re.findall(r"^export (\w+)='(.*)'$", shown, re.MULTILINE))
    assert set(exported) == {"NEXUS_WORKERS", *(f"NEXUS_{name}" for name in AGREED)} - {"NEXUS_DAGSTER_HOME"}
    assert exported["NEXUS_ROOT"] == "gs://my-atlas-project-nexus-production/nexus"
    settings = read_settings({**exported, "NEXUS_DAGSTER_HOME": "/opt/dagster"})
    assert (settings.deployment, settings.spot, settings.workers) == ("gcp", "off", 8)
    assert settings.label_map == {"application": "nexus", "environment": "production"}
    assert not {name for name in exported if name.removeprefix("NEXUS_").lower() not in type(settings).model_fields}
    machine = parse_machines(settings.machines).of("extract_job")
    assert (machine.cpu, machine.memory, machine.parallelism) == (8, "32Gi", 50)
    (declared,) = re.findall(r"type = map\(object\(\{\n(.*?)\n  \}\)\)", TEXT, re.DOTALL)
    assert set(re.findall(r"(\w+) += optional", declared)) == set(Machine.model_fields)


def test_the_code_location_loads_in_a_container(plan: dict[str, Any]) -> None:
    """With what the containers are told, without credentials and without asking anybody."""
    container = _containers(plan)["google_cloud_run_v2_worker_pool.daemon"]
    told = {entry["name"]: entry["value"] for entry in container["env"] if entry.get("value")}
    code = (
        "from nexus_assets.definitions import build_defs\n"
        "made = build_defs().resources\n"
        "print(*(f'{name}:{type(made[name]).__name__}' for name in sorted(made)))"
    )
    environment = {**told, "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "pipelines:Vertex" in done.stdout


def test_options_reach_everything(terraform: Terraform) -> None:
    key = "projects/p/locations/europe-west4/keyRings/r/cryptoKeys/k"
    network, image = "projects/1/global/networks/n", "launcher:1"
    plan = terraform.plan(
        kms_key=key, client_calls="pipeline", pipeline_network=network, spot="true", spot_launcher_image=image
    )
    encrypted = [address for address in resources(plan) if f"'{key}'" in str(resources(plan)[address])]
    kinds = {re.sub(r"\W.*", "", address.split(".")[0]) for address in encrypted}
    assert {"google_storage_bucket", "google_bigquery_dataset", "google_sql_database_instance"} <= kinds
    told = {entry["name"]: entry.get("value") for entry in _containers(plan)["google_cloud_run_v2_job.run"]["env"]}
    assert told["NEXUS_CMEK_KEY"] == key
    assert (told["NEXUS_NETWORK"], told["NEXUS_SPOT"], told["NEXUS_SPOT_LAUNCHER_IMAGE"]) == (network, "on", image)
    assert told["NEXUS_WORKERS"] == "8"
    assert "google_service_account_iam_member.worker_acts_as_itself[0]" in resources(plan)
    editors = [values["member"] for address, values in resources(plan).items() if ".edit[" in address]
    assert [str(member).partition("@")[0] for member in editors] == [
        "serviceAccount:nexus-production-dagster",
        "serviceAccount:nexus-production-worker",
    ]


BROAD = re.compile(r"roles/(owner|editor|viewer|.*[aA]dmin|.*\*)$")


def _grants(plan: dict[str, Any]) -> set[tuple[str, str, str]]:
    found = set()
    for address, values in resources(plan).items():
        if "role" in values and "member" in values:
            kind = address.split(".")[0].removeprefix("google_").removesuffix("_iam_member")
            who = re.sub(r"^serviceAccount:nexus-production-(\w+)@.*", r"\1", str(values["member"]))
            role = re.sub(r"^.*nexus_production_(\w+)$", r"custom: \1", values["role"])
            found.add((who.removeprefix("group:atlas-").split("@")[0], role, kind))
    return found


def test_the_table_of_who_may_do_what_is_true(plan: dict[str, Any]) -> None:
    table = (ROOT / "docs/deploy/iam.md").read_text()
    rows = {
        tuple(cell.strip(" `") for cell in line.split("|")[1:4])
        for line in table.splitlines()
        if line.startswith("| `")
    }
    assert rows == _grants(plan)
    for custom in resources(plan, "google_project_iam_custom_role").values():
        assert not [permission for permission in custom["permissions"] if "*" in permission]
        assert all(f"`{permission}`" in table for permission in custom["permissions"])


def test_no_role_is_broad(plan: dict[str, Any]) -> None:
    assert [role for _, role, _ in _grants(plan) if BROAD.match(role)] == []
    assert BROAD.match("roles/editor")
    assert BROAD.match("roles/storage.objectAdmin")


def test_labels_and_budget(plan: dict[str, Any]) -> None:
    assert "default_labels        = local.labels" in TEXT
    (budget,) = resources(plan, "google_billing_budget").values()
    assert budget["budget_filter"][0]["labels"] == {"application": "nexus"}
    assert sorted(rule["threshold_percent"] for rule in budget["threshold_rules"]) == [0.5, 0.9, 1.0, 1.0]
