"""Which permissions requests to Cloud Storage need, and which ones the roles have that the deployment grants.

Written down from Google's pages "IAM permissions for JSON methods" and "IAM roles for Cloud Storage".
"""

import re
from collections.abc import Iterable

ROLES = {
    "roles/storage.objectUser": {"create", "delete", "get", "list", "update"},
    "roles/storage.objectViewer": {"get", "list"},
    "roles/storage.legacyBucketReader": {"list", "buckets.get"},
}
"""Permissions by role: of objects, and those of buckets."""
_METHODS = (
    (r"GET (/storage/v1)?/b/[^/?]+(\?.*)?", {"buckets.get"}),
    (r"GET (/storage/v1)?/b/[^/?]+/o(\?.*)?", {"list"}),
    (r"GET (/download)?(/storage/v1)?/b/[^/?]+/o/.+", {"get"}),
    (r"POST (/storage/v1)?/b/[^/?]+/o/.+/(rewriteTo|copyTo|compose).*", {"get", "create"}),
    (r"(POST|PUT) (/upload|/resumable/upload)(/storage/v1)?/b/[^/?]+/o\b.*", {"create"}),
    (r"PATCH (/storage/v1)?/b/[^/?]+/o/.+", {"update"}),
    (r"DELETE (/storage/v1)?/b/[^/?]+/o/.+", {"delete"}),
)


def needed_permissions(requests: Iterable[str]) -> set[str]:
    """Return what requests need; a kind of request that is not known is a permission that no role has.

    An upload that writes over an object needs ``delete`` too, which cannot be seen in its request.

    :param requests: Each as ``METHOD path?query``.
    :return: Permissions.
    """
    needed: set[str] = set()
    for request in requests:
        found = [permissions for form, permissions in _METHODS if re.fullmatch(form, request)]
        needed |= found[0] if found else {request}
    return needed
