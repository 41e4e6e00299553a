"""What is said of an address that refuses, read as a file and live: always what to change."""

import threading

import pytest
from peers import MuteServer, RefusingServer
from peers.web_camera import WebCamera

from streamsr.core.errors import InputError, SourceAuthError, SourceError
from streamsr.sources.containers import opened
from streamsr.sources.live import LiveSource

ANSWERS = {
    400: "it does not understand the request (400)",
    401: "it asks for a user name and password: put USER:PASSWORD@ before the host",
    403: "it forbids to read that (403): check the path, or put USER:PASSWORD@ before the host",
    404: "there is no stream at its path '/x.ts': check the path",
    410: "it refuses what is asked for (4XX): check the path",
    429: "it is asked too often (429): try again later",
    500: "its server fails (5XX): look there for why, or try again later",
    503: "its server fails (5XX): look there for why, or try again later",
}


def said(url: str) -> str:
    """What is said of a file at that address, which is what is said of a camera there."""
    with pytest.raises(InputError) as as_file, opened(url, threading.Event()):
        pass
    with pytest.raises(SourceError) as as_camera:
        next(LiveSource(url, lambda event: None, give_up_s=0.1).items(threading.Event()))
    words = str(as_file.value).partition(": cannot be opened: ")[2]
    assert str(as_camera.value).endswith(f": {words}")
    assert "hunter22" not in f"{as_file.value} {as_camera.value}"
    return words


@pytest.mark.parametrize("status", ANSWERS)
def test_what_a_server_answers(status: int) -> None:
    with RefusingServer(status) as server:
        assert said(f"http://127.0.0.1:{server.port}/x.ts") == ANSWERS[status]


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_password(status: int) -> None:
    with RefusingServer(status) as server:
        url = f"http://u:hunter22@127.0.0.1:{server.port}/x.ts"
        assert said(url) == "it refuses the user name or password"
        with pytest.raises(SourceAuthError):
            next(LiveSource(url, lambda event: None, give_up_s=0.1).items(threading.Event()))


def test_a_page_is_no_video() -> None:
    with RefusingServer(200) as server:
        words = said(f"http://127.0.0.1:{server.port}/page")
    assert words == "what it sends is no video that can be read: check the path"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_where_nothing_listens(scheme: str) -> None:
    with MuteServer() as gone:
        port = gone.port
    words = said(f"{scheme}://u:hunter22@127.0.0.1:{port}/x")
    assert words == f"refused: nothing listens at 127.0.0.1 port {port}: check the port"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_nobody_knows(scheme: str) -> None:
    words = said(f"{scheme}://no-such-host.invalid/x")
    assert words == "there is no host named 'no-such-host.invalid': check the name"


@pytest.mark.parametrize("scheme", ["https", "rtsps"])
def test_a_server_without_tls(scheme: str) -> None:
    with WebCamera("text/plain", lambda write, gone: None) as server:
        place = server.url.removeprefix("http://")
        words = said(f"{scheme}://{place}")
    port, plain = place.partition("/")[0].partition(":")[2], scheme.removesuffix("s")
    assert words == (
        f"no TLS at 127.0.0.1 port {port}: check the port, and whether it is {plain}://"
    )
