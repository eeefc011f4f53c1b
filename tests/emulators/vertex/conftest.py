"""Pipelines for the test that executes one."""

from tests.pipeline_specs import shell_pipeline

__all__ = ["shell_pipeline"]
