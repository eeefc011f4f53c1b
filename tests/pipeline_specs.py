"""A pipeline of real tasks, for the tests that run one; their conftest.py imports the fixture."""

# kfp has no types.
# mypy: disable-error-code="untyped-decorator"

import pytest


@pytest.fixture(scope="session")
def shell_pipeline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Compile a pipeline whose tasks run Python that their parameter holds; one after another when alone in a group."""
    from kfp import compiler, dsl

    @dsl.component(base_image="nexus-worker:python3.11", install_kfp_package=False)
    def python_job(code: str) -> None:
        exec(code)  # noqa: S102

    @dsl.pipeline(name="shell-pipeline")
    def shell_pipeline(codes: list[str]) -> None:
        with dsl.ParallelFor(codes) as code:
            python_job(code=code).set_caching_options(False)

    path = tmp_path_factory.mktemp("spec") / "shell.yaml"
    compiler.Compiler().compile(shell_pipeline, str(path))
    return path.read_text()
