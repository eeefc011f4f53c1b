"""What the table of who may do what grants of the data bucket; another test holds the table to Terraform's plan."""

from pathlib import Path

from tests.emulators.storage.permissions import ROLES

_TABLE = Path(__file__).resolve().parents[2] / "docs/deploy/iam.md"


def granted_permissions(account: str) -> set[str]:
    """Return the permissions that the roles of an account have.

    :param account: Name in the table.
    :return: Permissions of Cloud Storage.
    """
    granted: set[str] = set()
    for line in _TABLE.read_text().splitlines():
        cells = [cell.strip(" `") for cell in line.split("|")[1:4]]
        if len(cells) == 3 and cells[0] == account and cells[1] in ROLES:
            granted |= ROLES[cells[1]]
    return granted
