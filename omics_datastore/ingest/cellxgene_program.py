"""The child program of the CELLxGENE gate: run by the Python of cellxgene-schema's own environment, by its path.

It imports nothing of Nexus. Its argument is a limit of memory in bytes. It says ``{"version": …}``, and then answers
every line it is given, a JSON text with the path of an ``.h5ad`` file, with ``{"errors": […], "warnings": […]}``, or
with ``{"failed": …}`` when it could not check the file. It ends with its input. What the validator itself prints goes
to standard error.
"""

import json
import os
import resource
import sys
from importlib.metadata import version
from typing import Any

_UNEXPECTED = "Unexpected validation error: "


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]), hard))
    _say(answers, {"version": version("cellxgene-schema")})
    for line in sys.stdin:
        _say(answers, _check(json.loads(line)))


def _check(path: str) -> dict[str, Any]:
    from cellxgene_schema.validate import Validator

    try:
        # Files of CELLxGENE itself carry the labels that a submission must not.
        validator = Validator(ignore_labels=True)
        validator.validate_adata(path)
    except MemoryError:
        return {"failed": "its memory did not suffice"}
    except SystemExit:  # what the validator does over a file that is no HDF5
        return {"errors": ["the file cannot be opened"], "warnings": []}
    errors = [text.removeprefix("ERROR: ") for text in validator.errors]
    if any(text.startswith(_UNEXPECTED) and "MemoryError" in text for text in errors):
        return {"failed": "its memory did not suffice"}
    return {
        "errors": [text.splitlines()[0] if text.startswith(_UNEXPECTED) else text for text in errors],
        "warnings": [text.removeprefix("WARNING: ") for text in validator.warnings],
    }


def _say(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
