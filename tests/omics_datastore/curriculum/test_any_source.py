"""A short run of the round trip of any source, always the same; ``make test-concurrency`` makes a long one."""

from hypothesis import HealthCheck, given, settings

from tests.omics_datastore.curriculum.any_source import Drawn, comes_back, drawn


@settings(max_examples=2, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn())
def test_what_was_put_in_comes_back(case: Drawn) -> None:
    comes_back(case)
