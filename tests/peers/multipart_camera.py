"""A camera that sends JPEGs over HTTP, one after another, as the cheapest ones do."""

from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from time import monotonic
from typing import Self

__all__ = ["MultipartCamera"]


class MultipartCamera:
    """Sends ``images`` (JPEG) round and round at ``rate`` a second, as time goes by."""

    def __init__(self, images: Sequence[bytes], rate: float) -> None:
        gone, started = Event(), monotonic()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                number = int((monotonic() - started) * rate)
                while not gone.wait(max(0.0, started + number / rate - monotonic())):
                    image = images[number % len(images)]
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}"
                    try:
                        self.wfile.write(head.encode() + b"\r\n\r\n" + image + b"\r\n")
                    except OSError:
                        return  # it does not watch any more
                    number += 1

            def log_message(self, *_args: object) -> None: ...

        self._gone = gone
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/video.mjpg"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._gone.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
