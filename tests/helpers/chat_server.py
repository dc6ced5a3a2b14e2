"""A server on the loopback that speaks OpenAI's chat completions, and answers as it is told."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """status: of HTTP. body: as it is sent; None: the server says nothing until it is closed."""

    status: int
    body: str | None


HANG = Reply(200, None)


def chat(content: str | None, **more: Any) -> Reply:
    """A completion with this text."""
    return Reply(200, json.dumps({"choices": [{"message": {"role": "assistant", "content": content, **more}}]}))


def changes(*proposals: Any) -> Reply:
    """A completion of the form that is asked for."""
    return chat(json.dumps({"changes": list(proposals)}))


class ChatServer:
    """url: what stands before /chat/completions. requests: the payloads and headers, in the order of their arrival."""

    def __init__(self, respond: Callable[[str, int], Reply]) -> None:
        """respond: from the user's message and the number of the try, from 0, to the reply."""
        self.requests: list[tuple[dict[str, Any], dict[str, str]]] = []
        self._respond, self._tries, self._lock = respond, Counter[str](), threading.Lock()
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, body = outer.reply_to(self.path, payload, dict(self.headers))
                if body is None:
                    outer._closing.wait()
                    self.close_connection = True
                    return
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def reply_to(self, path: str, payload: dict[str, Any], headers: dict[str, str]) -> Reply:
        with self._lock:
            self.requests.append((payload, headers))
            question = json.dumps([payload["messages"], payload["seed"]])
            number = self._tries[question]
            self._tries[question] += 1
        if path != "/v1/chat/completions":
            return Reply(404, "no such path")
        return self._respond(payload["messages"][-1]["content"], number)

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def chat_server(respond: Callable[[str, int], Reply]) -> Iterator[ChatServer]:
    server = ChatServer(respond)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
