"""Which sources of which dataset the paths stand for that somebody gave on the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omics_datastore.errors import InputError
from omics_datastore.ingest.source_kinds import EXPECTED, SourceKind, group_names, source_kind, source_stem
from omics_datastore.keys import check_key


@dataclass(frozen=True)
class LocalPath:
    """A path of this machine, and the address to name it by when it stands for something elsewhere."""

    path: Path
    address: str

    def show(self, file: Path) -> str:
        """Return what to call a file at or below the path."""
        below = file.relative_to(self.path)
        return self.address if below == Path() else f"{self.address.rstrip('/')}/{below.as_posix()}"


@dataclass(frozen=True)
class NamedSource:
    """A source: its name below the dataset's folder of the inbox, what to call it, and its files by such names."""

    name: str
    shown: str
    files: Mapping[str, Path]


def group_by_dataset(paths: Sequence[LocalPath], dataset: str | None) -> dict[str, list[NamedSource]]:
    """Say which sources belong to which dataset.

    :param paths: Files and folders as somebody named them.
    :param dataset: Dataset of all of them, if given.
    :return: Sources by dataset key, each list in order.
    :raise InputError: When a path is not there or of another kind, or a name is no key.
    """
    grouped: dict[str, list[NamedSource]] = {}
    for local in paths:
        name, sources = _sources(local)
        try:
            key = check_key("dataset", dataset if dataset is not None else name)
        except InputError as error:
            raise InputError(f"{str(error).rstrip('.')}; name the dataset with --dataset.") from error
        grouped.setdefault(key, []).extend(sources)
    for key, found in grouped.items():
        names = [source.name for source in found]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"two files of the dataset {key!r} are called {twice}; rename one.")
    return grouped


def _sources(local: LocalPath) -> tuple[str, list[NamedSource]]:
    """Return the name that a path gives its dataset, and its sources."""
    path = local.path
    resolved = path.resolve()
    if path.is_dir():
        if source_kind(resolved.name) is SourceKind.ZARR:
            inside = {f"{resolved.name}/{name}": path / name for name in _names(path)}
            files = {name: inside[name] for name in group_names(inside).get(resolved.name, [])}
            if not files:
                raise InputError(f"the folder {local.address} is empty.")
            return source_stem(resolved.name), [NamedSource(resolved.name, local.address, files)]
        found = [_named(local, path, source, members) for source, members in sorted(group_names(_names(path)).items())]
        if not found:
            raise InputError(f"the folder {local.address} holds no .h5ad file, nor another of {EXPECTED}.")
        return resolved.name, found
    if not path.is_file():
        raise InputError(f"there is no file or folder {local.address}.")
    kind = source_kind(path.name)
    if kind is SourceKind.MATRIX_MARKET:
        around = [file.name for file in path.parent.iterdir() if file.is_file()]
        members = next((members for source, members in group_names(around).items() if path.name in members), [])
        return resolved.parent.name, [_named(local, path.parent, path.name, members)]
    if kind is None or kind is SourceKind.ZARR:
        raise InputError(
            f"{local.address} is not an .h5ad file, nor another of {EXPECTED}; convert it with anndata's write_h5ad."
        )
    return source_stem(path.name), [NamedSource(path.name, local.address, {path.name: path})]


def _named(local: LocalPath, folder: Path, source: str, members: Sequence[str]) -> NamedSource:
    """Name a source of a folder: a file by its own name, matrices by their folders', which tell them apart."""
    above, _, last = source.rpartition("/")
    if source_kind(source) is not SourceKind.MATRIX_MARKET:
        name = last
    else:
        name = source if above else f"{folder.resolve().name}/{last}"
    place = name.removesuffix(last)
    shown = local.show(folder / source) if folder == local.path else local.address
    files = {f"{place}{member.removeprefix(f'{above}/' if above else '')}": folder / member for member in members}
    return NamedSource(name, shown, files)


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
