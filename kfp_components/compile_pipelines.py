"""Compile the pipelines: ``python -m kfp_components.compile_pipelines`` writes ``kfp_components/compiled/*.yaml``.

The YAML is a build product that is kept in the repository, because a code location must not import kfp (seconds) to
submit a pipeline. A test compares it with what this module would write.
"""

import os
import sys
from pathlib import Path

from kfp_components.catalog import COMPILED, PIPELINES


def compile_pipelines(folder: Path) -> list[Path]:
    """Compile every pipeline of the catalog.

    :param folder: Folder to write to.
    :return: The files, one a pipeline, named after it.
    """
    os.environ["_KFP_RUNTIME"] = "true"  # or kfp imports a Kubernetes client, which takes seconds
    import kfp  # noqa: F401

    del os.environ["_KFP_RUNTIME"]
    from kfp import compiler

    from kfp_components import pipelines

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name in PIPELINES:
        path = folder / f"{name}.yaml"
        compiler.Compiler().compile(getattr(pipelines, name), str(path))
        written.append(path)
    return written


if __name__ == "__main__":
    for file in compile_pipelines(Path(__file__).parent / COMPILED):
        sys.stdout.write(f"{file.name}\n")
