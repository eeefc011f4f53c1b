"""An environment with a package that stands in for cellxgene-schema: the same names, and rules that need no library."""

import os
import subprocess
import sys
from pathlib import Path

_VALIDATE = '''
"""Rules by what stands in the file; every file that is checked is written down in checked.txt of the environment."""
import os, sys, time
from pathlib import Path

class Validator:
    def __init__(self, ignore_labels=False):
        assert ignore_labels
        print("noise on standard output")

    def validate_adata(self, path):
        with (Path(sys.prefix) / "checked.txt").open("a") as log:
            log.write(path + "\\n")
        time.sleep(0.1)
        held = bytes(2**31)  # not touched, so not taken
        content = Path(path).read_bytes()
        if b"CRASH" in content:
            print("Traceback\\nRuntimeError: it  broke.", file=sys.stderr)
            os._exit(3)
        self.errors, self.warnings = [], ["WARNING: Dataframe 'var' only has 5 rows."]
        if b"UBERON:9999999" in content:
            self.errors.append(
                "ERROR: 'UBERON:9999999' in 'tissue_ontology_term_id' is not a valid ontology term id of 'UBERON'."
            )
        if len(content) == 1000:
            sys.exit(1)
        if b"ODD" in content:
            self.errors.append("ERROR: Unexpected validation error: odd\\nTraceback\\n  ...")
'''


def make_stand_in(folder: Path) -> str:
    """Make the environment.

    :param folder: Where to.
    :return: Its Python.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next((folder / "lib").glob("python3*")) / "site-packages"
    package = packages / "cellxgene_schema"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "validate.py").write_text(_VALIDATE)
    metadata = packages / "cellxgene_schema-0.0.7.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: cellxgene-schema\nVersion: 0.0.7\n")
    return os.fspath(folder / "bin/python")


def checked_files(python: str) -> list[str]:
    """Return the names of the files that were checked there, in order."""
    log = Path(python).parents[1] / "checked.txt"
    return [Path(line).name for line in log.read_text().splitlines()] if log.exists() else []
