"""Live addresses as people type them."""

import pytest

from streamsr.core.errors import InputError
from streamsr.core.live_address import live_address


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://cam/1",
        "rtsp://cam:554/stream@2?a=b#c",
        "rtsp://u:p%40ss@192.168.1.5/cam@1",
        "rtsp://u@cam/x",
        "rtsp://:@cam/x",
        "rtsp://[fe80::1]:554/x",
        "udp://@:5000",
        "udp://@239.0.0.1:5000?fifo_size=1",
        "rtmp://host/live/key",
    ],
)
def test_what_is_an_address_stays(url: str) -> None:
    assert live_address(url) == url


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("RTSP://Cam/One", "rtsp://Cam/One"),
        (
            "rtsp://admin:p@ss/w#rd@127.0.0.1:554/cam",
            "rtsp://admin:p%40ss%2Fw%23rd@127.0.0.1:554/cam",
        ),
        ("rtsp://admin:12/34@192.168.1.5/x", "rtsp://admin:12%2F34@192.168.1.5/x"),
        ("rtsp://admin:a?b@cam.local/x", "rtsp://admin:a%3Fb@cam.local/x"),
        ("rtsp://u:a%b%20c@cam/x", "rtsp://u:a%25b%20c@cam/x"),
        ("rtsp://u:p:q@cam/x", "rtsp://u:p%3Aq@cam/x"),
        ("rtsp://u:p@ss@cam/x", "rtsp://u:p%40ss@cam/x"),
    ],
)
def test_a_password_may_hold_what_ends_it(url: str, read: str) -> None:
    assert live_address(url) == read


@pytest.mark.parametrize(
    "url", ["rtsp://cam:port/x", "rtsp://u:hunter22@cam:99999/x", "rtsp://a b/"]
)
def test_what_is_no_address_says_how_one_is_written(url: str) -> None:
    with pytest.raises(InputError, match="in a password / is written %2F") as caught:
        live_address(url)
    assert "hunter22" not in str(caught.value)
