"""No secret gets past the redactor, however it was typed."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from streamsr import redact as module
from streamsr.redact import protect, protect_word, redact

CANARY = "p@ss/w%rd:#1"
ENCODED = quote(CANARY, safe="")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What one test protects is not protected in the next."""
    secrets: set[str] = set()
    monkeypatch.setattr(module, "_secrets", secrets)
    return iter([None])


def is_clean(text: str) -> bool:
    return not any(part in text for part in (CANARY, ENCODED, "w%rd", "ss/w", "w%25rd", "%23"))


@pytest.mark.parametrize("password", [CANARY, ENCODED], ids=["raw", "encoded"])
@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https", "rtmp", "mqtt"])
def test_a_url_loses_user_and_password_and_keeps_the_rest(scheme: str, password: str) -> None:
    clean = redact(f"{scheme}://admin:{password}@10.0.0.7:554/stream?x=1")
    assert clean == f"{scheme}://***@10.0.0.7:554/stream?x=1"


@pytest.mark.parametrize("password", [CANARY, ENCODED], ids=["raw", "encoded"])
def test_urls_inside_sentences_and_errors(password: str) -> None:
    url = f"rtsp://admin:{password}@cam/1"
    for text in (f"cannot open '{url}': refused", f'got "{url}", {url}', f"[Errno 5] x: '{url}'"):
        clean = redact(text)
        assert is_clean(clean)
        assert "admin" not in clean
        assert "cam/1" in clean
    assert is_clean(redact(OSError(f"{url}: refused")))


@pytest.mark.parametrize("password", [CANARY, ENCODED], ids=["raw", "encoded"])
def test_a_protected_password_is_found_alone_in_both_spellings(password: str) -> None:
    protect(f"rtsp://admin:{password}@cam/1")
    assert redact(f"the camera said no to {CANARY} today") == "the camera said no to *** today"
    assert redact(f"option pass={password}") == "option pass=***"


def test_a_word_inside_another_secret_does_not_uncover_it() -> None:
    protect("rtsp://a:secret@cam")
    protect("rtsp://a:secretive@cam")
    assert redact("secretive") == "***"


def test_a_word_of_its_own_is_removed_in_both_spellings() -> None:
    protect_word(ENCODED)
    assert redact(f"{CANARY} and {ENCODED}") == "*** and ***"
    protect_word("")
    protect_word("on")
    assert redact("the camera is on") == "the camera is on"


def test_short_passwords_do_not_blank_every_word() -> None:
    protect("rtsp://a:on@cam/1")
    assert redact("the camera is on") == "the camera is on"
    assert redact("rtsp://a:on@cam/1") == "rtsp://***@cam/1"


@pytest.mark.parametrize(
    "text", ["rtsp://cam/1", "write to me@example.org", "a://b", "", "/tmp/a@b.mp4", "x: 50% @ 3"]
)
def test_what_holds_no_secret_is_left_alone(text: str) -> None:
    protect(text)
    assert redact(text) == text


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://cam/?user=admin&password=hunter22",
        "rtsp://admin:hunter22 with space@cam/x",
        "rtsp://admin:hunter22'quote@cam/x",
        "http://cam/v.mjpg?token=hunter22#x",
    ],
)
def test_secrets_in_odd_places_are_removed(url: str) -> None:
    protect(url)
    assert "hunter22" not in redact(f"input {url}: refused")
