"""A short run of the model of the commit protocol, always the same; ``make test-concurrency`` makes a long one."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.omics_datastore.concurrency.protocol_model import FolderProtocol

SHORT = settings(
    max_examples=4,
    stateful_step_count=15,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_the_folder_shows_what_the_model_says() -> None:
    run_state_machine_as_test(FolderProtocol, settings=SHORT)
