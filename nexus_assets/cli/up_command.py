"""``nexus up``: the Dagster web UI, daemon and code server on this machine, ended together."""

import errno
import ipaddress
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import click
import yaml

from nexus_assets.cli.output import say
from nexus_assets.cli.server_logs import bound_logs
from nexus_assets.cli.session import open_session
from nexus_resources.settings import Settings
from omics_datastore.errors import InputError, NexusError
from omics_datastore.storage.layout import FEATURE_SCHEMAS, INBOX, SPECIFICATIONS

_HOST = "127.0.0.1"
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - the addresses that a warning is given for
_CODE_SERVER = "code-server"
_MODULE = "nexus_assets.definitions"
_STOP_SECONDS = 20.0
_GROUP_SECONDS = 10.0
_START_SECONDS = 120.0
_LOOKS_AT_LOGS = 120
"""The logs are looked at once in so many looks at the processes."""


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the web UI.")
@click.option(
    "--host",
    default=_HOST,
    show_default=True,
    help="Address the web UI listens on. Whoever reaches it may start and delete runs: it knows no users.",
)
@click.option("--read-only", is_flag=True, help="The web UI shows everything and changes nothing; drops are taken.")
def up(port: int, host: str, read_only: bool) -> None:
    """Start the web UI and the daemon; Ctrl-C ends both."""
    settings = open_session(writes=True).settings
    if not settings.is_gcp:
        for folder in (INBOX, FEATURE_SCHEMAS, SPECIFICATIONS):
            (settings.root_path / folder).mkdir(parents=True, exist_ok=True)
    _check_port(host, port)
    # SIGHUP is of the terminal that is closed; a script that starts this in the background has SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop_watching)
    if not settings.is_gcp:  # where other machines may execute runs of this instance
        _end_lost_runs()
    with tempfile.TemporaryDirectory(prefix="nexus-") as folder:
        processes = {_CODE_SERVER: start_code_server(settings, Path(folder))}
        try:
            _wait_until(processes, _CODE_SERVER, code_socket(Path(folder)).exists)
            processes |= start_servers(settings, port, Path(folder), host, read_only=read_only)
            reached = _HOST if host in _EVERYWHERE else host
            _wait_until(processes, "webserver", lambda: _answers(reached, port))
            shown = f"[{reached}]" if ":" in reached else reached
            say(
                f"Nexus is at http://{shown}:{port}{', read-only,' if read_only else ''} and watches "
                f"{settings.store_root}/{INBOX}; Ctrl-C ends it."
            )
            if not _is_loopback(host):
                say(exposure(host, port, read_only=read_only))
            _watch(processes, settings.dagster_path)
        finally:
            _stop(list(processes.values()))


def exposure(host: str, port: int, *, read_only: bool) -> str:
    """Say who reaches a web server that does not listen on loopback.

    :param host: Address it listens on.
    :param port: Its port.
    :param read_only: Whether it changes nothing.
    :return: A sentence.
    """
    may = "see everything" if read_only else "start and delete runs"
    return (
        f"It listens on {host}:{port}: whoever reaches this machine may {may}, for it knows no users; put a proxy that "
        "does before it, or leave out --host."
    )


def start_code_server(settings: Settings, folder: Path) -> "subprocess.Popen[bytes]":
    """Start the server that loads this code location and executes its runs, for the web server and the daemon.

    On their own each of them would start one, and the daemon another one every minute, of which its log then says that
    the one before hears from nobody any more.

    :param settings: The settings; the Dagster home must be prepared.
    :param folder: A folder that only this user may enter: who reaches the socket in it runs code.
    :return: The process; :func:`code_socket` is there when it can be asked.
    """
    options = ["--module-name", _MODULE, "--location-name", "nexus", "--inject-env-vars-from-instance"]
    return _start(settings, _CODE_SERVER, ["dagster", "api", "grpc", "--socket", str(code_socket(folder)), *options])


def code_socket(folder: Path) -> Path:
    """Return the socket of the code server.

    :param folder: The folder given to :func:`start_code_server`.
    :return: Its path.
    """
    return folder / "code"


def start_servers(
    settings: Settings, port: int, folder: Path, host: str = _HOST, *, read_only: bool = False
) -> "dict[str, subprocess.Popen[bytes]]":
    """Start the web server and the daemon, each logging into the Dagster home.

    :param settings: The settings; the Dagster home must be prepared.
    :param port: Port of the web server.
    :param folder: Folder of the code server.
    :param host: Address the web server listens on.
    :param read_only: Whether the web UI changes nothing.
    :return: Both processes by name.
    """
    workspace = folder / "workspace.yaml"
    listed = yaml.safe_load((settings.dagster_path / "workspace.yaml").read_text())["load_from"]
    server = {"grpc_server": {"host": "localhost", "socket": str(code_socket(folder)), "location_name": "nexus"}}
    ours = [entry.get("python_module", {}).get("module_name") == _MODULE for entry in listed]
    locations = [server if is_ours else entry for entry, is_ours in zip(listed, ours, strict=True)]
    workspace.write_text(yaml.safe_dump({"load_from": locations}))
    listening = ["--host", host, "--port", str(port), "--workspace", str(workspace)]
    changing = ["--read-only"] if read_only else []
    return {
        "webserver": _start(
            settings, "webserver", ["python", "-P", "-m", "nexus_assets.web_server", *listening, *changing]
        ),
        "daemon": _start(settings, "daemon", ["dagster-daemon", "run", "-w", str(workspace)]),
    }


def _start(settings: Settings, name: str, command: Sequence[str]) -> "subprocess.Popen[bytes]":
    scripts = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONWARNINGS": "ignore",
    }
    with (settings.dagster_path / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [str(scripts / command[0]), *command[1:]],
            cwd=settings.dagster_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_port(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise InputError(f"{host!r} is no address of this machine ({error.strerror}); correct --host.") from error
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"port {port} on {host} is taken ({error.strerror}); choose another with --port."
                if error.errno == errno.EADDRINUSE
                else f"nothing can listen on {host}:{port} ({error.strerror}); correct --host or --port."
            ) from error


def _wait_until(processes: "Mapping[str, subprocess.Popen[bytes]]", name: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        _check_running(processes)
        if ready():
            return
        time.sleep(0.2)
    raise NexusError(f"the {name} did not answer within {_START_SECONDS:.0f} seconds; see its log in the Dagster home.")


def _answers(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def _stop_watching(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


def _end_lost_runs() -> None:
    import dagster as dg

    from nexus_assets.lost_runs import end_lost_runs

    with dg.DagsterInstance.get() as instance:
        for run_id in end_lost_runs(instance, servers=True):
            say(f"Run {run_id} was ended: the process that executed it is gone.")


def _watch(processes: "Mapping[str, subprocess.Popen[bytes]]", logs: Path) -> None:
    try:
        for looks in itertools.count():
            _check_running(processes)
            if looks % _LOOKS_AT_LOGS == 0:
                bound_logs(logs)
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("Stopping.")


def _check_running(processes: "Mapping[str, subprocess.Popen[bytes]]") -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise NexusError(f"the {name} ended with code {process.returncode}; see {name}.log in the Dagster home.")


def _stop(processes: "Sequence[subprocess.Popen[bytes]]") -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # another Ctrl-C must not leave one behind
        signal.signal(number, signal.SIG_IGN)
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
    # Their code servers, and what those execute, would live on until they miss a heartbeat.
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        deadline = time.monotonic() + _GROUP_SECONDS
        while any(map(_is_alive, processes)) and time.monotonic() < deadline:
            time.sleep(0.1)


def _is_alive(leader: "subprocess.Popen[bytes]") -> bool:
    leader.poll()
    try:
        os.killpg(leader.pid, 0)
    except ProcessLookupError:
        return False
    return True
