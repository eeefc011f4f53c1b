"""Names and ids: the rule, proposals that follow it, and values that may never change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omics_datastore.errors import InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.keys import (
    KEY_PATTERN,
    canonical_json,
    check_key,
    digest,
    make_curriculum_partition,
    make_ingest_id,
    parse_curriculum_partition,
    parse_ingest_id,
    propose_key,
)

KEYS = st.from_regex(KEY_PATTERN, fullmatch=True)


@given(KEYS)
def test_keys_pass(key: str) -> None:
    assert check_key("dataset", key) == key
    assert propose_key(key).startswith(key.rstrip("-._")[:1])


@pytest.mark.parametrize("key", ["", "-a", ".a", "_a", "A", "a b", "a/b", "ä", "a\n", "a" * 129, "a@b", "٣"])
def test_other_names_are_refused_with_a_proposal(key: str) -> None:
    with pytest.raises(InputError, match="is not a dataset name") as refused:
        check_key("dataset", key)
    assert repr(propose_key(key)) in str(refused.value)


@given(st.text())
def test_proposals_follow_the_rule(text: str) -> None:
    assert check_key("dataset", propose_key(text))


@given(KEYS, st.text(alphabet="0123456789abcdef", min_size=64, max_size=64))
def test_ingest_ids_are_parsed(dataset: str, sha256: str) -> None:
    ingest_id = make_ingest_id(dataset, sha256, sha256)
    assert parse_ingest_id(ingest_id) == (dataset, ingest_id[-12:])


@pytest.mark.parametrize("text", ["", "lung", "lung@", "lung@0123456789AB", "lung@0123456789abc", "@0123456789ab"])
def test_other_texts_are_no_ingest_ids(text: str) -> None:
    with pytest.raises(InputError, match="is not an ingest id"):
        parse_ingest_id(text)


def test_ingest_id_depends_on_all_of_its_parts() -> None:
    a, b = "a" * 64, "b" * 64
    made = {make_ingest_id(dataset, source, config) for dataset in ("x", "y") for source in (a, b) for config in (a, b)}
    assert len(made) == 8


@given(KEYS, st.integers(1, 10**9 - 1))
def test_curriculum_partitions_are_parsed(name: str, version: int) -> None:
    assert parse_curriculum_partition(make_curriculum_partition(name, version)) == (name, version)


@pytest.mark.parametrize("text", ["", "lung", "lung.v0", "lung.v01", "lung.v", "lung.v1x", ".v1", "lung.v1\n"])
def test_other_texts_are_no_curriculum_versions(text: str) -> None:
    with pytest.raises(InputError, match="is not a curriculum version"):
        parse_curriculum_partition(text)


def test_canonical_json() -> None:
    assert canonical_json({"b": [1, "ü"], "a": None}) == '{"a":null,"b":[1,"ü"]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_ids_never_change() -> None:
    """A changed value here makes every dataset of every user be ingested again."""
    assert digest({"b": [1, "ü"], "a": None}) == "6bafd57c7869b3aca54e576a5157b40cc195c8486124cab93d52f1b59556838e"
    assert make_ingest_id("lung", "a" * 64, "b" * 64) == "lung@0dbdd7d1adc7"
    unchanged = DatasetConfig(validation={"max_file_bytes": 5})
    assert unchanged.data_digest() == "af28be42a2e32c8537f107190b1036e37068be87d9676e5b3f80a8cce1ce3877"
    assert DatasetConfig(tag="x").data_digest() != unchanged.data_digest()
