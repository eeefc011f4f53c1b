"""A Nexus of its own for every test."""

from pathlib import Path

import pytest

from tests.nexus_assets.world import World
from tests.pipeline_specs import shell_pipeline

__all__ = ["shell_pipeline", "world"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "nexus")
