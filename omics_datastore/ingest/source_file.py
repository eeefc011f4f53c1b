"""A source file opened for reading, once it is sure that all it holds lies in the file itself.

An ingest is named by the content of one file, so a link into another file, or values kept outside, would make
that name a lie.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from omics_datastore.ingest.read_board import noted_read
from omics_datastore.ingest.refusal import RefusedSourceError

_DAMAGE = (
    *(
        OSError,
        RuntimeError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        SystemError,
        ArithmeticError,
        EOFError,
    ),
    *(zipfile.BadZipFile, zlib.error),
)
"""What h5py and zarr were seen to raise over files with flipped bits."""

_NO_FILTER = ("lib/plugin", "is not registered", "codec not available", "Unknown codec")
"""What is in the words of HDF5 and zarr for a way of packing that they lack."""


@contextmanager
def refuse_damage(what: str) -> Iterator[None]:
    """Refuse the file for what h5py raises in a ``with`` block, which must hold nothing but reads of an open file.

    :param what: What is read there, for the message.
    :return: A context manager.
    :raise RefusedSourceError: When the file is damaged there.
    """
    try:
        with noted_read(what):
            yield
    except RefusedSourceError:
        raise
    except MemoryError as error:
        raise RefusedSourceError(
            "size_limit", f"{what} declares more than fits into memory; write the file again."
        ) from error
    except _DAMAGE as error:
        if any(sign in str(error) for sign in _NO_FILTER):
            raise RefusedSourceError(
                "readable", f"{what} is packed with a filter that Nexus does not have; write the file again with gzip."
            ) from error
        if isinstance(error.__context__ or error, UnicodeDecodeError):
            raise RefusedSourceError("readable", f"{what} has a name that is not UTF-8; rename it.") from error
        raise RefusedSourceError("readable", f"{what} is damaged ({error}); copy the file again.") from error


@contextmanager
def refuse_nul(what: str) -> Iterator[None]:
    """Refuse text that HDF5 cannot hold, while a ``with`` block writes it.

    :param what: What is written there, for the message.
    :return: A context manager.
    :raise RefusedSourceError: When a text holds a NUL.
    """
    try:
        yield
    except ValueError as error:
        raise RefusedSourceError("readable", f"{what} cannot be kept ({error}); correct it.") from error


@contextmanager
def open_source(path: Path) -> Iterator[h5py.File]:
    """Open an ``.h5ad`` file.

    :param path: The file.
    :return: A context manager that yields the open file.
    :raise RefusedSourceError: When it is not HDF5, or refers to other files.
    """
    try:
        with noted_read("the file"):
            file = h5py.File(path, "r")
    except OSError as error:
        raise RefusedSourceError(
            "readable",
            f"the file is not an HDF5 file that can be opened ({error}); write it with anndata's write_h5ad.",
        ) from error
    with file:
        _refuse_other_files(file)
        yield file


def _refuse_other_files(file: h5py.File) -> None:
    outside: list[str] = []

    def note_link(name: str, link: object) -> None:
        if isinstance(link, h5py.ExternalLink):
            outside.append(f"{name} is a link into {link.filename}")

    def note_object(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset) and (node.is_virtual or node.external):
            outside.append(f"{name} keeps its values in other files")

    with refuse_damage("the file"):
        file.visititems_links(note_link)
        file.visititems(note_object)
    if outside:
        raise RefusedSourceError("readable", f"{outside[0]}; write everything into one file with anndata's write_h5ad.")
