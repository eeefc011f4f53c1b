"""Links from assets to the code that makes them, where a setting says on which web page the code is."""

import warnings
from pathlib import Path

import dagster as dg

from omics_datastore.shown_text import masked

_ROOT = Path(__file__).parents[1]


def code_reference(function: object, source_url: str) -> dict[str, dg.CodeReferencesMetadataValue]:
    """Link to a function of this code base.

    :param function: What an asset's decorator was given.
    :param source_url: Web page of the root folder of this code, ``https://…/blob/main`` for example.
    :return: Metadata for an asset's spec; empty for what is not a function of this code base.
    """
    code = getattr(function, "__code__", None)
    if code is None or not Path(code.co_filename).is_relative_to(_ROOT):
        return {}
    file = Path(code.co_filename).relative_to(_ROOT).as_posix()
    with warnings.catch_warnings():
        # Code references are beta in Dagster 1.13, which is why the version is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        link = dg.UrlCodeReference(url=f"{masked(source_url).rstrip('/')}/{file}#L{code.co_firstlineno}", label=file)
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[link])}


def functions_by_asset(definitions: dg.Definitions) -> dict[dg.AssetKey, object]:
    """Return the function that makes each asset.

    :param definitions: The definitions.
    :return: Functions by asset key; assets that no run makes have none.
    """
    found: dict[dg.AssetKey, object] = {}
    for asset in definitions.assets or []:
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable:
            function = getattr(asset.op.compute_fn, "decorated_fn", None)
            found.update(dict.fromkeys(asset.keys, function))
    return found
