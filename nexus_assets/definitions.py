"""Assemble the code location: the defs folder, the policy for every spec, the resources of the deployment.

``load_from_defs_folder`` does the same and then imports every installed Dagster plugin, to show the component types
that this project could use. It uses none, and dagster-gcp among the plugins costs each process 2 s and 130 MB.
"""

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import dagster as dg

from nexus_assets.code_references import code_reference, functions_by_asset
from nexus_assets.policy import apply_policy
from nexus_resources.deployment import deployment_resources
from nexus_resources.settings import read_settings


def build_defs(resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """Build the definitions.

    :param resources: ``store``, ``warehouse`` and ``pipelines``; those of the deployment by default.
    :return: The definitions.
    :raise InputError: When the environment has a setting that cannot be.
    """
    settings, is_gcp = read_settings(), False
    if resources is None:
        resources, is_gcp = deployment_resources(settings), settings.is_gcp
    tree = dg.ComponentTree.for_project(path_within_project=Path(__file__).parent)
    with warnings.catch_warnings():
        # Loading a folder and mapping specs are preview in Dagster 1.13, which is why the version is pinned.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        found = tree.build_defs(tree.defs_module_path)
        owned = found.map_asset_specs(func=partial(apply_policy, is_gcp=is_gcp))
        if settings.source_url:
            owned = owned.map_asset_specs(func=partial(_link, functions_by_asset(found), settings.source_url))
    return dg.Definitions.merge(owned, dg.Definitions(resources=resources, component_tree=tree))


def _link(functions: Mapping[dg.AssetKey, object], source_url: str, spec: dg.AssetSpec) -> dg.AssetSpec:
    return spec.merge_attributes(metadata=code_reference(functions.get(spec.key), source_url))


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of this code location."""
    return build_defs()
