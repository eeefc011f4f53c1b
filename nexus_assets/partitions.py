"""The partitions of the assets. Dagster does not check dynamic keys; :func:`add_partition` does."""

from collections.abc import Callable, Sequence

import dagster as dg

from omics_datastore.keys import check_key, parse_curriculum_partition

DATASETS = dg.DynamicPartitionsDefinition(name="datasets")
FEATURE_SCHEMAS = dg.DynamicPartitionsDefinition(name="feature_schemas")
CURRICULA = dg.DynamicPartitionsDefinition(name="curricula")

_CHECKS: dict[str, Callable[[str], object]] = {
    "datasets": lambda key: check_key("dataset", key),
    "feature_schemas": lambda key: check_key("feature schema", key),
    "curricula": parse_curriculum_partition,
}


def check_partition(partitions: dg.DynamicPartitionsDefinition, key: str) -> str:
    """Return a partition key unchanged when it follows the rule of its kind.

    :param partitions: One of the definitions of this file.
    :param key: The key.
    :return: The key.
    :raise InputError: When it breaks the rule.
    """
    _CHECKS[str(partitions.name)](key)
    return key


def add_partition(instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition, key: str) -> None:
    """Add a partition, if it is not there yet.

    :param instance: Dagster instance.
    :param partitions: One of the definitions of this file.
    :param key: The key.
    :raise InputError: When it breaks the rule of its kind.
    """
    add_partitions(instance, partitions, [key])


def add_partitions(
    instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition, keys: Sequence[str]
) -> None:
    """Add the partitions that are not there yet, one after the other in the order of all.

    :param instance: Dagster instance.
    :param partitions: One of the definitions of this file.
    :param keys: The keys.
    :raise InputError: When one breaks the rule of its kind; none is added then.
    """
    instance.add_dynamic_partitions(str(partitions.name), [check_partition(partitions, key) for key in keys])
