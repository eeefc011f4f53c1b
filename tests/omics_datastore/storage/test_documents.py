"""Documents: their digest is checked, and a person's YAML is refused with the field that is wrong."""

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.storage.documents import parse_yaml, read_document, write_configuration, write_document
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.object_store import AlreadyExistsError


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    sizes: list[int] = []
    mode: Literal["fast", "slow"] = "fast"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def test_round_trip(store: FolderStore) -> None:
    note = Note(name='ü "x"\n', sizes=[1, 2**62])
    assert write_document(store, "note.json", note) == write_document(store, "again.json", note)
    assert read_document(store, "note.json", Note) == note
    assert store.read("note.json") == store.read("again.json")
    with pytest.raises(AlreadyExistsError):
        write_document(store, "note.json", note, new=True)


@given(st.data())
def test_any_changed_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = FolderStore(tmp_path_factory.mktemp("store"))
    note = Note(name="lung", sizes=[12, 7])
    write_document(store, "note.json", note)
    content = bytearray(store.read("note.json"))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    store.write("note.json", bytes(content))
    try:
        assert read_document(store, "note.json", Note) == note  # white space may change
    except CorruptionError as error:
        assert "delete it and run again" in str(error)  # noqa: PT017  # either outcome is right


def test_missing_document(store: FolderStore) -> None:
    with pytest.raises(FileNotFoundError):
        read_document(store, "nothing.json", Note)


def test_configuration_round_trip(store: FolderStore) -> None:
    note = Note(name="é: [", sizes=[3])
    write_configuration(store, "note.yaml", note)
    assert parse_yaml(Note, store.read("note.yaml"), "note.yaml") == note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "lung.yaml is not YAML: "),
        (b"\xff\xfe\x00", "lung.yaml is not YAML: "),
        ("- a", "lung.yaml must hold 'name: value' lines, not list."),
        ("", "lung.yaml: name: Field required."),
        ("name: a\nnmae: b", "lung.yaml: nmae is not a known key."),
        ("name: a\nsizes: [1, x]", "lung.yaml: sizes.1: "),
        ("name: a\nmode: quick", "lung.yaml: mode: Input should be 'fast' or 'slow'."),
    ],
)
def test_yaml_that_does_not_fit(text: str | bytes, message: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_yaml(Note, text, "lung.yaml")
    assert str(refused.value).startswith(message)
