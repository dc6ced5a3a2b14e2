"""An HTTP proxy before an S3 server that answers, drops, slows down or loses requests by rule, and counts them all."""

import http.client
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}
Action = Callable[["_Handler"], None]


@dataclass
class Rule:
    """The first `times` requests (-1: all) whose "METHOD /bucket/key?query" matches `pattern` meet with `action`."""

    pattern: str
    action: Action
    times: int = 1


@dataclass
class FaultyS3:
    """Its endpoint URL, its rules (set them at any time), and the requests that it has seen."""

    endpoint: str = ""
    rules: list[Rule] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.requests)

    def _action_for(self, request: str) -> Action:
        with self.lock:
            self.requests.append(request)
            for rule in self.rules:
                if rule.times and re.search(rule.pattern, request):
                    rule.times -= 1
                    return rule.action
        return _Handler.forward


def error(status: int, code: str) -> Action:
    """Answers as S3 does, and repeats the request's key ID in its message, as some servers do."""

    def answer(request: "_Handler") -> None:
        request.read_body()
        words = f"Refused; your credential was {request.headers.get('Authorization')}"
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{words}</Message></Error>".encode()
        request.send_response(status)
        request.send_header("Content-Length", "0" if request.command == "HEAD" else str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    return answer


def reset(request: "_Handler") -> None:
    """Breaks the connection in the middle of what the client sends."""
    request.rfile.read(min(1024, int(request.headers.get("Content-Length", 0))))
    request.hang_up()


def lose_answer(request: "_Handler") -> None:
    """The server does what was asked, and the client never hears of it."""
    request.ask_server()
    request.hang_up()


def cut_answer(request: "_Handler") -> None:
    """Half of the body arrives."""
    status, headers, body = request.ask_server()
    request.answer(status, headers, body, body[: len(body) // 2])
    request.hang_up()


def slow(request: "_Handler") -> None:
    """The body trickles in over a second."""
    status, headers, body = request.ask_server()
    request.answer(status, headers, body, b"")
    for start in range(0, len(body), len(body) // 10 + 1):
        request.wfile.write(body[start : start + len(body) // 10 + 1])
        time.sleep(0.1)


def unquoted_etags(request: "_Handler") -> None:
    """As Ceph 16: a condition whose ETag stands in quotes is never met."""
    etag = request.headers.get("If-Match")
    if etag and etag.startswith('"'):
        error(412, "PreconditionFailed")(request)
    else:
        request.replace_header("If-Match", f'"{etag}"' if etag else None)
        request.forward()


def refuse_swaps(request: "_Handler") -> None:
    """If-Match is never met."""
    if "If-Match" in request.headers:
        error(412, "PreconditionFailed")(request)
    else:
        request.forward()


def ignoring(condition: str) -> Action:
    """As if the store knew no such header."""

    def forward(request: "_Handler") -> None:
        request.replace_header(condition, None)
        request.forward()

    return forward


def refuse_trailers(request: "_Handler") -> None:
    """As Ceph, over HTTPS: a body whose checksum follows it has no length."""
    if request.headers.get("X-Amz-Trailer"):
        error(411, "MissingContentLength")(request)
    else:
        request.forward()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyS3
    upstream: str

    def handle_any(self) -> None:
        self.proxy._action_for(f"{self.command} {self.path}")(self)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def replace_header(self, name: str, value: str | None) -> None:
        del self.headers[name]
        if value is not None:
            self.headers[name] = value

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def ask_server(self) -> tuple[int, list[tuple[str, str]], bytes]:
        body = self.read_body()
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=60)
        try:
            connection.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, sent: bytes) -> None:
        self.send_response_only(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(body)))
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(sent)

    def forward(self) -> None:
        status, headers, body = self.ask_server()
        self.answer(status, headers, body, body)

    def hang_up(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A client that gave up is part of the game."""


@contextmanager
def faulty_s3(upstream: str, certificate: Path | None = None) -> Iterator[FaultyS3]:
    """A proxy on a free port of the loopback before the server at `upstream` (http only).

    certificate: with its key, as PEM; then the proxy speaks HTTPS.
    """
    proxy = FaultyS3()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy, "upstream": upstream}))
    proxy.endpoint = f"http://127.0.0.1:{server.server_port}"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        proxy.endpoint = f"https://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
