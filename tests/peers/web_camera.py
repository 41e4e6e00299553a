"""Cameras over HTTP: one that sends JPEGs, as the cheapest do, and one that sends a file."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Self

__all__ = ["FileCamera", "MultipartCamera", "WebCamera"]

Write = Callable[[bytes], object]


class WebCamera:
    """Calls ``send`` for each viewer, with what writes to it and an event that ends it all."""

    def __init__(self, content_type: str, send: Callable[[Write, Event], None]) -> None:
        gone = Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.end_headers()
                with suppress(OSError):  # it does not watch any more
                    send(self.wfile.write, gone)

            def log_message(self, *_args: object) -> None: ...

        self._gone = gone
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/live"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._gone.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class MultipartCamera(WebCamera):
    """Sends ``images`` (JPEG) round and round at ``rate`` a second, as time goes by."""

    def __init__(self, images: Sequence[bytes], rate: float) -> None:
        started = monotonic()

        def send(write: Write, gone: Event) -> None:
            number = int((monotonic() - started) * rate)
            while not gone.wait(max(0.0, started + number / rate - monotonic())):
                image = images[number % len(images)]
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}"
                write(head.encode() + b"\r\n\r\n" + image + b"\r\n")
                number += 1

        super().__init__("multipart/x-mixed-replace; boundary=frame", send)


class FileCamera(WebCamera):
    """Sends a file at about 400 kB/s, and then says no more."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()

        def send(write: Write, gone: Event) -> None:
            for place in range(0, len(data), 4096):
                write(data[place : place + 4096])
                gone.wait(0.01)
            gone.wait()

        super().__init__("application/octet-stream", send)
