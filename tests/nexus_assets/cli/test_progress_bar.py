"""The bar on a terminal: it follows the job, and is gone when the job ends."""

import pytest

from kfp_components.progress import Progress
from nexus_assets.cli.progress_bar import BarObserver, TerminalPipelines
from nexus_resources.pipelines.states import JobStatus, PipelineState


def test_it_follows_a_job_to_its_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    (observer,) = TerminalPipelines(folder="unused").observers()
    assert isinstance(observer, BarObserver)
    observer.progress(Progress(1, 4, "cells"))  # nothing was submitted yet
    observer.submitted("nexus-extract-data-pipeline-0123-a1", "log", "submitted")
    observer.progress(Progress(3, 4, "cells"))
    observer.state_changed(JobStatus("job", PipelineState.RUNNING))
    observer.state_changed(JobStatus("job", PipelineState.SUCCEEDED))
    observer.state_changed(JobStatus("job", PipelineState.SUCCEEDED))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "extract data pipeline" in captured.err
    assert "75%" in captured.err
    assert captured.err.rstrip().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # the cursor is back and the line is gone
