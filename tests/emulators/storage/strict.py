"""What Cloud Storage does and the stock emulator does not: preconditions, paging, offsets, 416, repeated chunks.

The rules are those of the JSON API reference; everything else is left to the stock emulator.
"""

import json
import re
from typing import Any

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.storage import Storage

from tests.emulators.storage.exchange import Answer, Exchange


class QuickStorage(Storage):  # type: ignore[misc]
    """Keep objects in memory without writing all metadata again at every change, and without soft deletion."""

    finished: dict[str, dict[str, Any]]
    """Objects by the upload session that made them; a client may ask again for what it did not hear."""

    def __init__(self) -> None:
        super().__init__(use_memory_fs=True)
        self.finished = {}

    def _write_config_to_file(self) -> None:
        pass

    def _bucket_soft_delete_retention_seconds(self, bucket_name: str) -> int:  # noqa: ARG002
        return 0


def answer(request: Exchange, storage: QuickStorage) -> Answer:
    """Answer a request as Cloud Storage would.

    :param request: The request.
    :param storage: Objects.
    :return: The answer.
    """
    if request.bucket is not None and request.bucket not in storage.buckets:
        return Answer.error(404, "notFound", "The specified bucket does not exist.")
    if request.method == "POST" and request.resource.endswith("/o") and request.query.get("uploadType") == "multipart":
        request.name = request.name or _multipart_name(request.body)
    if request.method == "POST" and request.query.get("uploadType") == "resumable" and request.body:
        request.name = request.name or json.loads(request.body).get("name")
    if "upload_id" in request.query:
        return _chunk(request, storage)
    if request.method == "GET" and request.bucket and request.resource.endswith("/o"):
        return _page(request, storage)
    return _refused(request, storage) or _beyond_the_end(request, storage) or _asked(request, storage)


def _asked(request: Exchange, storage: QuickStorage) -> Answer:
    got = request.asked_of(storage)
    if request.method == "POST" and request.resource.endswith("/b") and got.status == 200:
        wanted = json.loads(request.body)
        storage.buckets[wanted["name"]]["location"] = wanted.get("location", "US").upper()
    if got.status == 404 and request.name:
        return Answer.error(404, "notFound", f"No such object: {request.bucket}/{request.name}")
    return got


def _multipart_name(body: bytes) -> str | None:
    metadata = re.search(rb"\r\n\r\n(\{.*?\})\r\n--", body, re.DOTALL)
    return json.loads(metadata[1]).get("name") if metadata else None


def _object(storage: Storage, bucket: str | None, name: str | None) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = storage.get_file_obj(bucket, name)
    except NotFound:
        return None
    return found


def _refused(request: Exchange, storage: Storage) -> Answer | None:
    wanted = {name: int(value) for name, value in request.query.items() if name.startswith("if") and value.isdigit()}
    pinned = request.query.get("generation")
    if not (wanted or pinned) or request.name is None:
        return None
    found = _object(storage, request.bucket, request.name)
    generation, metageneration = (int(found["generation"]), int(found["metageneration"])) if found else (0, 0)
    if pinned and request.method in ("GET", "DELETE") and int(pinned) != generation:
        return Answer.error(404, "notFound", f"No such object: {request.bucket}/{request.name}#{pinned}")
    if found is None and request.method in ("GET", "DELETE") and wanted.get("ifGenerationMatch") != 0:
        return None  # a missing object is a 404
    holds = (
        wanted.get("ifGenerationMatch", generation) == generation
        and wanted.get("ifMetagenerationMatch", metageneration) == metageneration
        and wanted.get("ifGenerationNotMatch") != generation
        and wanted.get("ifMetagenerationNotMatch") != metageneration
    )
    if holds:
        return None
    return Answer.error(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")


def _page(request: Exchange, storage: Storage) -> Answer:
    query = request.query
    prefix, delimiter = query.get("prefix") or None, query.get("delimiter") or None
    items, prefixes = storage.get_file_list(request.bucket, prefix, delimiter)
    rows = [(item["name"], "items", item) for item in items] + [(name, "prefixes", name) for name in prefixes]
    first, end, after = query.get("startOffset", ""), query.get("endOffset"), query.get("pageToken", "")
    rows = [row for row in rows if row[0] >= first and (end is None or row[0] < end) and row[0] > after]
    rows.sort(key=lambda row: row[0].encode())
    size = min(int(query.get("maxResults", 1000)), 1000)
    page: dict[str, Any] = {"kind": "storage#objects"}
    for _, kind, row in rows[:size]:
        page.setdefault(kind, []).append(row)
    if len(rows) > size:
        page["nextPageToken"] = rows[size - 1][0]
    return Answer.of(_selected(page, query["fields"]) if "fields" in query else page)


def _selected(page: dict[str, Any], fields: str) -> dict[str, Any]:
    """Return only the fields that were asked for, so that a field forgotten in a request is missed."""
    item_fields = re.search(r"items\(([^)]*)\)", fields)
    top = set(re.sub(r"\([^)]*\)", "", fields).split(","))
    chosen = {name: value for name, value in page.items() if name in top}
    if item_fields and "items" in chosen:
        names = item_fields[1].split(",")
        chosen["items"] = [{name: item[name] for name in names if name in item} for item in chosen["items"]]
    return chosen


def _beyond_the_end(request: Exchange, storage: Storage) -> Answer | None:
    match = re.fullmatch(r"bytes=(\d+)-\d*", request.headers.get("Range", ""))
    found = _object(storage, request.bucket, request.name)
    if request.method != "GET" or not match or not found or int(match[1]) < int(found["size"]):
        return None
    return Answer(416, {"Content-Range": f"bytes */{found['size']}"}, b"The requested range cannot be satisfied.")


def _chunk(request: Exchange, storage: QuickStorage) -> Answer:
    """Take a chunk of a resumable upload; what was taken already may be sent again."""
    session = request.query["upload_id"]
    if session in storage.finished:
        return Answer.of(storage.finished[session])
    if session not in storage.resumable:
        return Answer.error(404, "notFound", "There is no such upload.")
    if request.method == "DELETE":
        storage.delete_resumable_file_obj(session)
        return Answer(499)
    request.name = storage.resumable[session]["name"]
    if refused := _refused(request, storage):
        return refused
    received = storage.get_resumable_byte_count(session)
    content_range = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", request.headers.get("Content-Range", ""))
    if content_range:
        start, end = int(content_range[1]), int(content_range[2])
        if end < received:
            return Answer(308, {"Range": f"bytes=0-{received - 1}"})
        if start < received:
            request.body = request.body[received - start :]
            request.headers.replace_header("Content-Range", f"bytes {received}-{end}/{content_range[3]}")
            request.headers.replace_header("Content-Length", str(len(request.body)))
    got = request.asked_of(storage)
    if got.status == 200:
        storage.finished[session] = json.loads(got.body)
    elif got.status == 308 and not storage.get_resumable_byte_count(session):
        got.headers.pop("Range", None)
    return got
