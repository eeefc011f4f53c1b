"""Who asked for it, on everything that is made."""

from pathlib import Path

import nexus_assets
from nexus_assets.policy import os_user
from nexus_assets.run_metadata import changes
from omics_datastore.curriculum.feature_schema import add_feature_schema
from tests.nexus_assets.world import World, materialized


def test_a_run_of_the_web_ui_was_asked_for_by_whoever_runs_it(world: World) -> None:
    add_feature_schema(world.store, "mine", b"ensembl_id,symbol\nENSG00000000005,E\n")
    made = materialized(world.run("register_feature_schema", "mine"))
    assert made["curriculum/feature_schema"]["requested_by"] == os_user()


def test_every_asset_gives_its_results_through_the_one_function() -> None:
    folder = Path(nexus_assets.__file__).parent
    found = {path.name for path in folder.rglob("*.py") if "MaterializeResult(" in path.read_text()}
    assert found == {"run_metadata.py"}


def test_only_what_both_have_is_compared() -> None:
    assert changes({"cells": 6, "ingests": 1}, {"cells": 4, "datasets": 1, "ingests": 1}) == {
        "cells_delta": -2,
        "ingests_delta": 0,
    }
