"""What an address shows: no canary in any form of it, in any text; hosts, words and paths stay."""

import base64
import string
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsr.core.redact import protect, redact, secrets, shown

QUICK = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CANARY = "Canary71"


HOSTS = st.sampled_from(["10.0.0.7:554", "10.0.0.7", "[fe80::1]:554", "cam.lan", "localhost:8554"])
ODD = st.text(st.sampled_from("@/#:?&;=%'\"+ \\é_-.~!$*,()[]{}<>|a1"), max_size=6)
SAFE = st.text(string.ascii_letters + string.digits + "-_.~", min_size=1, max_size=12)
SCHEMES = st.sampled_from(["rtsp", "rtsps", "rtmp", "http", "https", "RTSP", "udp", "mqtt", "wss"])
SEGMENTS = st.sampled_from(["live", "Streaming", "cam1", "h264Preview_01_main"])


@st.composite
def secret_words(draw: st.DrawFn) -> str:
    """A canary among signs that people's passwords hold, percent-encoded or as it is."""
    word = draw(ODD) + CANARY + draw(ODD)
    return quote(word, safe="") if draw(st.booleans()) else word


@st.composite
def dvr_segments(draw: st.DrawFn) -> str:
    word = CANARY + draw(SAFE)
    shape = draw(
        st.sampled_from(
            [
                "user=admin_password={}_channel=0_stream=1.sdp",
                "user=admin&password={}&channel=1",
                "cam;pwd={}",
                "admin:{}",
                "{}@admin",
                "0,pw={},1",
            ]
        )
    )
    return shape.format(word)


@st.composite
def tokens(draw: st.DrawFn) -> str:
    """JWTs, signatures and random keys, with the canary in their bytes."""
    data = CANARY.encode() + draw(st.binary(min_size=8, max_size=40))
    text = base64.urlsafe_b64encode(data).decode().rstrip("=")
    return draw(st.sampled_from([text, data.hex(), f"eyJhbGciOi.{text}.{text[::-1]}"]))


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """An address whose every secret holds the canary."""
    login = f"{draw(SAFE)}:{draw(secret_words())}@" if draw(st.booleans()) else ""
    path = "".join(f"/{part}" for part in draw(st.lists(SEGMENTS | dvr_segments(), max_size=3)))
    query = st.builds("{}={}".format, SAFE, secret_words())
    parts = draw(st.lists(query, max_size=3))
    more = f"?{'&'.join(parts)}" if parts else ""
    fragment = f"#{draw(secret_words())}" if draw(st.booleans()) else ""
    return f"{draw(SCHEMES)}://{login}{draw(HOSTS)}{path}{more}{fragment}"


QUOTED = st.sampled_from(
    ["{}", "cannot open '{}': refused", 'got "{}", {}', "{}: refused", "a ({}), b", "{}\n{}"]
)


@QUICK
@given(addresses(), QUOTED)
def test_no_form_of_address_shows_its_secret(url: str, said: str) -> None:
    secrets._secrets = secrets._Secrets()  # of this example alone
    protect(url)
    for clean in (shown(url), redact(said.format(url, url)), redact(repr(url))):
        assert CANARY not in unquote(clean)
        assert redact(clean) == clean, "what is shown can be shown again"


@QUICK
@given(addresses())
def test_an_address_that_nobody_protected_shows_none_where_it_has_no_space(url: str) -> None:
    secrets._secrets = secrets._Secrets()
    if any(sign in url for sign in " '\""):
        return  # where an address ends in a sentence is then a guess
    assert CANARY not in unquote(redact(f"refused: {url}"))


@QUICK
@given(tokens(), st.sampled_from(["rtsp://cam/live/{}", "http://cam/{}/video.mjpg", "srt://h/{}"]))
def test_tokens_and_random_keys_in_a_path_are_hidden(token: str, address: str) -> None:
    assert shown(address.format(token)) == address.format("***")


@pytest.mark.parametrize(
    "key",
    [
        "abcd-efgh-ijkl-mnop-qrst",
        "live_123456789_aBcDeFgHiJkLmNoP",
        "AbCdEfGhIjKlMnOp",
        "0b1f4c1e-5a3e-4e0c-9a56-7b8f3c1d2e4f",
        "d41d8cd98f00b204e9800998ecf8427e",
        "a/b@c",
        "%2575ser%3Dx",
        "483910",
    ],
)
def test_keys_are_hidden(key: str) -> None:
    assert key not in shown(f"rtsp://cam/live/{key}/x")


READABLE = (
    "Streaming/Channels/101 cam/realmonitor h264Preview_01_main axis-media/media.amp stream1 "
    "axis-cgi/mjpg/video.cgi live/ch00_0 live.sdp MediaInput/h264/stream_1 onvif1 videoMain 720p "
    "videostream.cgi hls/gate/index.m3u8 profile5/media.smp cgi-bin/mjpg/video.cgi av0_0 "
    "ISAPI/Streaming/channels/102/httpPreview unicast/c1/s0/live front_door_hd garage-door-left "
    "mpeg4/media.amp live/nphMpeg4 k%C3%BCche"
)


@pytest.mark.parametrize("path", READABLE.split())
@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_what_cameras_call_their_streams_stays_readable(scheme: str, path: str) -> None:
    url = f"{scheme}://192.168.1.20:8554/{path}"
    assert shown(url) == redact(url) == url


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("rtsp://127.0.0.1:1/x?password=p@Canary75", "rtsp://127.0.0.1:1/x?***"),
        ("rtsp://cam:554/x?password=p@ca.nary75.com", "rtsp://***"),
        ("rtsp://u:12345/Canary@cam/x", "rtsp://***"),
        ("rtsp://u:p@ss@192.168.1.5/cam@1", "rtsp://***@192.168.1.5/***"),
        ("rtsp://john:12/34@192.168.1.5/x", "rtsp://***@192.168.1.5/x"),
        ("udp://@239.0.0.1:5000?fifo_size=1", "udp://@239.0.0.1:5000?***"),
        ("http://proxy/rtsp://u:Canary@cam/x", "http://proxy/***/***/***/x"),
        ("rtmp://host/live/garage", "rtmp://host/live/***"),
        ("rtsp://cam:port/x", "rtsp://***"),
    ],
)
def test_hosts_are_shown_where_they_are_sure(url: str, seen: str) -> None:
    assert shown(url) == seen


@pytest.mark.parametrize(
    "text", ["/srv/video/2026-11-30T04:00:00Z/a8f3b2c1d4.mp4", "C3D4E5F6.mkv: no such file", "a?b"]
)
def test_files_are_named_as_they_are(text: str) -> None:
    protect(text)
    assert redact(text) == text


def test_common_values_of_a_query_do_not_blank_messages() -> None:
    protect("rtsp://cam/x?channel=1&stream=main&codec=h264&size=640x480&key=s3cr3tkey")
    assert redact("the main process reads h264, 640x480") == "the main process reads h264, 640x480"
    assert redact("no to s3cr3tkey") == "no to ***"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("GET /live?sig=Canary71 404", "GET /live?*** 404"),
        ("moved to http://cam/v2/?nonce=Canary71.", "moved to http://cam/v2/?***."),
        ("the frame? yes=no", "the frame? yes=no"),
    ],
)
def test_queries_in_messages_are_hidden(text: str, seen: str) -> None:
    assert redact(text) == seen
