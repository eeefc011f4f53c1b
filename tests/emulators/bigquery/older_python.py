"""Let the unmodified ``local-bigquery`` wheel, written for Python 3.13, run on 3.11 and without a network.

Runs in the emulator's own environment. Nothing here changes what the emulator answers.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any


def _without_generic_syntax(source: str) -> str:
    return "from typing import TypeVar\nR = TypeVar('R')\n" + source.replace("[R: Resource]", "")


def _without_nested_quotes(source: str) -> str:
    return re.sub(r"error\('\{message\.replace\(.+?\)\}'\)", "error('{message}')", source)


_SPELLINGS: dict[str, Callable[[str], str]] = {
    "local_bigquery.catalog.metadata": _without_generic_syntax,
    "local_bigquery.engine.results": _without_nested_quotes,
}


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        source = _SPELLINGS[fullname](Path(self.path).read_text())
        return compile(source, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _SPELLINGS or path is None:
            return None
        file = str(Path(next(iter(path)), f"{fullname.rpartition('.')[2]}.py"))
        return importlib.util.spec_from_file_location(fullname, file, loader=_Loader(fullname, file))


def _offer_extensions(home: Path, version: str) -> None:
    """Lay DuckDB's extensions, which come as wheels, where it would have put downloaded ones."""
    for found in map(Path, sys.path):
        for file in found.glob("duckdb_extension_*/extensions/*/*.duckdb_extension"):
            for platform in ("linux_amd64", "linux_arm64", "osx_arm64", "osx_amd64"):
                folder = home / ".duckdb" / "extensions" / f"v{version}" / platform
                folder.mkdir(parents=True, exist_ok=True)
                (folder / file.name).symlink_to(file.resolve())


def prepare() -> None:
    """Make ``local_bigquery`` importable and DuckDB self-sufficient, in this process."""
    sys.meta_path.insert(0, _Finder())
    import duckdb

    home = Path(tempfile.mkdtemp(prefix="bigquery-emulator-home-"))
    _offer_extensions(home, duckdb.__version__)
    os.environ["HOME"] = str(home)
    connect = duckdb.connect

    def connect_offline(*arguments: Any, config: dict[str, Any] | None = None, **options: Any) -> Any:
        # As an option of connect, TimeZone makes DuckDB look for its ICU extension on the network.
        config = dict(config or {})
        zone = config.pop("TimeZone", None)
        connection = connect(*arguments, config=config, **options)
        if zone:
            connection.execute(f"SET TimeZone='{zone}'")
        return connection

    duckdb.connect = connect_offline
    # DuckDB looks for these at every query; what is known to be missing is not looked for on disk.
    for name in ("pandas", "polars", "torch", "tensorflow", "IPython", "ipywidgets", "fsspec"):
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = None  # type: ignore[assignment]
