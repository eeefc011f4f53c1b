"""The emulated PipelineService over REST and gRPC on loopback, and the one call of Cloud Logging that Nexus makes."""

import contextlib
import json
import re
import threading
import traceback
from collections import deque
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlparse

from google.cloud import aiplatform_v1 as v1
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, json_format

from tests.emulators.vertex.service import PipelineServiceEmulator, ServiceError

_COLLECTION = re.compile(r"/v1/(projects/[^/]+/locations/[^/]+)/pipelineJobs")
_JOB = re.compile(r"/v1/(projects/[^/]+/locations/[^/]+/pipelineJobs/[^/:]+)")
_LOG = re.compile(r'resource\.labels\.job_id="(\d+)"')


class RestServer:
    """Serve a service over REST until it is closed.

    ``GET /calls`` counts the calls by method; ``POST /faults`` with ``{method: [status, …]}`` makes calls fail.
    """

    def __init__(self, service: PipelineServiceEmulator, port: int = 0) -> None:
        handler = type("Handler", (_Handler,), {"service": service})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: PipelineServiceEmulator

    def log_message(self, *arguments: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client that is killed says no goodbye
            super().handle()

    def do_GET(self) -> None:
        url = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/calls":
            self._answer(dict(self.service.calls))
        elif match := _COLLECTION.fullmatch(url.path):
            mask = [_snake(path) for path in query.get("readMask", "").split(",") if path]
            size, token = int(query.get("pageSize", 0)), query.get("pageToken", "")
            parent, terms = match[1], query.get("filter", "")
            self._try(lambda: _json(self.service.listing(parent, terms, size, token, mask)))
        elif match := _JOB.fullmatch(url.path):
            name = match[1]
            self._try(lambda: _json(self.service.get(name)))
        else:
            self._unknown()

    def do_POST(self) -> None:
        url = urlparse(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if match := _COLLECTION.fullmatch(url.path):
            parent, job_id = match[1], parse_qs(url.query).get("pipelineJobId", [""])[0]
            self._try(lambda: _json(self.service.create(parent, job_id, v1.PipelineJob.from_json(body))))
        elif match := _JOB.fullmatch(url.path.removesuffix(":cancel")):
            name = match[1]
            self._try(lambda: self.service.cancel(name))
        elif url.path == "/v2/entries:list":
            query = json.loads(body)
            number = _LOG.search(query["filter"])
            lines = self.service.log_lines(number[1], query["pageSize"]) if number else []
            self._answer({"entries": [{"textPayload": line} for line in reversed(lines)]})
        elif url.path == "/faults":
            self.service.faults.update({method: deque(errors) for method, errors in json.loads(body).items()})
            self._answer({})
        else:
            self._unknown()

    def do_DELETE(self) -> None:
        match = _JOB.fullmatch(urlparse(self.path).path)
        if match is None:
            self._unknown()
            return
        name = match[1]
        self._try(lambda: json.loads(json_format.MessageToJson(_deleted(self.service, name))))

    def _try(self, work: Any) -> None:
        try:
            self._answer(work() or {})
        except ServiceError as error:
            content = {"code": error.http, "message": str(error), "status": error.status}
            self._answer({"error": content}, error.http)
        except Exception:  # noqa: BLE001 - the emulator's own fault; who tests must see it
            content = {"code": 500, "message": traceback.format_exc(), "status": "INTERNAL"}
            self._answer({"error": content}, 500)

    def _unknown(self) -> None:
        self._answer({"error": {"code": 404, "message": self.path, "status": "NOT_FOUND"}}, 404)

    def _answer(self, content: object, status: int = 200) -> None:
        payload = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


def grpc_server(service: PipelineServiceEmulator) -> tuple[Any, str]:
    """Serve a service over gRPC without encryption.

    :return: The server, to be stopped with ``stop(None).wait()``, and its address.
    """
    import grpc  # type: ignore[import-untyped, unused-ignore]

    def call(work: Any) -> Any:
        def handle(request: Any, context: Any) -> Any:
            try:
                return work(request)
            except ServiceError as error:
                _abort(context, getattr(grpc.StatusCode, error.status), str(error))

        return handle

    def method(work: Any, request: Any, answer: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            call(work), request_deserializer=request.deserialize, response_serializer=answer
        )

    def plain(message: Any) -> bytes:
        return bytes(message.SerializeToString())

    def cancel(request: Any) -> Any:
        service.cancel(request.name)
        return empty_pb2.Empty()

    def listing(request: Any) -> Any:
        mask = list(request.read_mask.paths) if request.read_mask else []
        return service.listing(request.parent, request.filter, request.page_size, request.page_token, mask)

    handlers = {
        "CreatePipelineJob": method(
            lambda r: service.create(r.parent, r.pipeline_job_id, r.pipeline_job),
            v1.CreatePipelineJobRequest,
            v1.PipelineJob.serialize,
        ),
        "GetPipelineJob": method(lambda r: service.get(r.name), v1.GetPipelineJobRequest, v1.PipelineJob.serialize),
        "ListPipelineJobs": method(listing, v1.ListPipelineJobsRequest, v1.ListPipelineJobsResponse.serialize),
        "CancelPipelineJob": method(cancel, v1.CancelPipelineJobRequest, plain),
        "DeletePipelineJob": method(lambda r: _deleted(service, r.name), v1.DeletePipelineJobRequest, plain),
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    name = "google.cloud.aiplatform.v1.PipelineService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def _abort(context: Any, code: Any, message: str) -> NoReturn:
    context.abort(code, message)
    raise AssertionError(message)


def _deleted(service: PipelineServiceEmulator, name: str) -> Any:
    service.delete(name)
    operation = operations_pb2.Operation(name=f"{name}/operations/1", done=True)
    operation.response.Pack(empty_pb2.Empty())
    return operation


def _json(message: Any) -> Any:
    return json.loads(type(message).to_json(message, use_integers_for_enums=False))


def _snake(path: str) -> str:
    return re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", path)
