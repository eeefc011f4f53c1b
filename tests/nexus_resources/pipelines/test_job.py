"""Ids follow from the request alone, and every state of Vertex AI has its own."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.states import PipelineState, TaskState

_JOB = PipelineJob("ingest_data_pipeline", "spec", {"root": "/data", "keys": ["a"]}, JobIdentity("run", "step", "lung"))


@given(pipeline=st.text(max_size=300), partition=st.text(max_size=300), attempt=st.integers(1, 10**6))
def test_job_ids_are_what_vertex_takes(pipeline: str, partition: str, attempt: int) -> None:
    job = replace(_JOB, pipeline=pipeline, identity=JobIdentity("run", "step", partition))
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,127}", job.job_id(attempt))
    assert job.job_id(attempt) == replace(job, labels={"a": "b"}, timeout_seconds=1.0).job_id(attempt)


def test_every_part_of_a_request_decides_its_id() -> None:
    jobs = [
        _JOB,
        replace(_JOB, spec="other"),
        replace(_JOB, parameters={"root": "/data", "keys": ["b"]}),
        replace(_JOB, identity=JobIdentity("other", "step", "lung")),
        replace(_JOB, identity=JobIdentity("run", "other", "lung")),
        replace(_JOB, identity=JobIdentity("run", "step", "other")),
    ]
    ids = {job.job_id(attempt) for job in jobs for attempt in (1, 2)}
    assert len(ids) == 2 * len(jobs)


def test_an_id_stays_what_it_is_between_releases() -> None:
    assert _JOB.job_id(3) == "nexus-ingest-data-pipeline-4b8eb970d18780167138710e-a3"


@pytest.mark.parametrize("enum", [PipelineState, TaskState])
def test_every_state_of_vertex_is_known(enum: type[PipelineState] | type[TaskState]) -> None:
    from google.cloud.aiplatform_v1.types import PipelineState as VertexState
    from google.cloud.aiplatform_v1.types import PipelineTaskDetail

    names = [state.name for state in (VertexState if enum is PipelineState else PipelineTaskDetail.State)]
    states = [enum.from_name(name) for name in names]
    assert len(set(states)) == len(names) == len(list(enum))
    assert enum.from_name("PIPELINE_STATE_OF_THE_FUTURE") is enum.UNSPECIFIED
