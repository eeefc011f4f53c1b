"""The sensor of failed runs, with a real webhook: a server on this machine that keeps what it is told."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from nexus_assets.batches import batch_tags
from nexus_assets.defs.ops.failure_sensor import run_failure
from nexus_assets.failure_message import failure_message
from nexus_assets.policy import PIPELINE_LINK
from nexus_resources.settings import read_settings
from omics_datastore.errors import InputError
from tests.nexus_assets.world import World, make_source

HIDDEN = "hooks/T0/B0/a-secret"


class Webhook:
    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.address = f"http://127.0.0.1:{server.server_port}/{HIDDEN}"
        self.status = 200
        self.told: list[Any] = []


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == f"/{HIDDEN}"
            made.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(made.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Webhook(server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("NEXUS_WEBHOOK", made.address)
        monkeypatch.setenv("NEXUS_WEB_ADDRESS", "https://nexus.example/")
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def failed(tmp_path: Path) -> dg.RunFailureSensorContext:
    """A run that refused a file, as the sensor is given it."""
    world = World(tmp_path)
    world.drop("lung/a", make_source(negative=True))
    result = world.run("ingest_dataset", "lung")
    assert not result.success
    (event,) = [event for event in result.all_events if event.is_run_failure]
    return dg.build_run_status_sensor_context(
        "run_failure", event, world.instance, result.dagster_run
    ).for_run_failure()


def test_a_failed_run_is_told_with_its_reason_and_links(failed: dg.RunFailureSensorContext, webhook: Webhook) -> None:
    run_failure(failed)
    (told,) = webhook.told
    assert told["text"].startswith("ingest_dataset failed for lung: ")
    text = json.dumps(told["blocks"], ensure_ascii=False)
    assert "negative" in text
    assert f"https://nexus.example/runs/{failed.dagster_run.run_id}|" in text


@pytest.mark.parametrize("status", [404, 500])
def test_a_message_that_is_not_taken_fails_the_tick_without_the_address(
    failed: dg.RunFailureSensorContext, webhook: Webhook, status: int
) -> None:
    webhook.status = status
    with pytest.raises(dg.Failure, match=f"answered {status}") as refused:
        run_failure(failed)
    assert "secret" not in str(refused.getrepr(chain=True, style="short"))


def test_a_webhook_that_is_gone(failed: dg.RunFailureSensorContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS_WEBHOOK", f"http://127.0.0.1:9/{HIDDEN}")
    with pytest.raises(dg.Failure, match="did not answer") as refused:
        run_failure(failed)
    assert refused.value.__cause__ is None
    assert "secret" not in str(refused.value)


def test_without_a_webhook_it_says_so(failed: dg.RunFailureSensorContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEXUS_WEBHOOK", raising=False)
    skipped = run_failure(failed)
    assert isinstance(skipped, dg.SkipReason)
    assert "NEXUS_WEBHOOK" in str(skipped.skip_message)


def test_a_wrong_address_is_not_shown() -> None:
    with pytest.raises(InputError) as refused:
        read_settings({"NEXUS_WEBHOOK": "my-secret"})
    assert str(refused.value) == "NEXUS_WEBHOOK: the value is not an address."


def test_long_and_strange_reasons_fit_into_a_message() -> None:
    run = dg.DagsterRun(job_name="build_curriculum", tags={PIPELINE_LINK: "https://console.example/job"})
    steps = {f"step<{number}>": f"& begins ```{'x' * 10_000} ends" for number in range(9)}
    message = failure_message(run, steps, "", "")
    blocks: Any = message["blocks"]
    assert len(blocks) == 7
    for block in blocks[1:6]:
        text = block["text"]["text"]
        assert len(text) < 3_000
        assert text.startswith("*step&lt;")
        assert "&amp; begins" in text
        assert text.endswith(" ends```")
        assert text.count("```") == 2
    assert "<https://console.example/job|pipeline job>" in blocks[6]["elements"][0]["text"]
    batch = dg.DagsterRun(job_name="ingest_dataset", tags=batch_tags(["heart", "liver", "lung"]))
    assert failure_message(batch, {}, "refused", "")["text"] == "ingest_dataset failed for heart…lung: refused"
    assert failure_message(run, {}, "the worker is gone", "")["text"] == "build_curriculum failed: the worker is gone"
