"""Pipelines for the tests of the runners."""

from tests.pipeline_specs import shell_pipeline

__all__ = ["shell_pipeline"]
