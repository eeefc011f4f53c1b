"""Write the reference pages: ``python -m nexus_assets.reference FOLDER``; ``make docs`` does."""

import sys
from pathlib import Path

from nexus_assets.reference.pages import reference_pages


def main(folder: Path) -> None:
    """Write every page.

    :param folder: Where the pages go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in reference_pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
