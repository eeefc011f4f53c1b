from pathlib import Path

from nexus_assets.cli.server_logs import bound_logs


def test_a_log_that_is_too_big_is_moved_aside_while_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "daemon.log.1").write_text("older")
    (tmp_path / "webserver.log").write_text("short")
    with (tmp_path / "daemon.log").open("ab", buffering=0) as log:
        log.write(b"x" * 101)
        bound_logs(tmp_path, 100)
        log.write(b"next")
    assert (tmp_path / "daemon.log").read_text() == "next"
    assert (tmp_path / "daemon.log.1").read_text() == "x" * 101
    assert (tmp_path / "webserver.log").read_text() == "short"
