"""No secret gets past the redactor, however it was typed."""

import copy
import html
import json
import pickle
import re
import shlex
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import pytest

from streamsr.core.redact import SecretAddress, json_value, protect, protect_word, redact
from streamsr.core.redact.secrets import LINGERING, _secrets

CANARY = "p@ss/w%rd:#1"
ENCODED = quote(CANARY, safe="")


def is_clean(text: str) -> bool:
    return not any(part in text for part in (CANARY, ENCODED, "w%rd", "ss/w", "w%25rd", "%23"))


@pytest.mark.parametrize("password", [CANARY, ENCODED], ids=["raw", "encoded"])
@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https", "mqtt"])
def test_a_url_loses_user_and_password_and_keeps_the_rest(scheme: str, password: str) -> None:
    clean = redact(f"{scheme}://admin:{password}@10.0.0.7:554/stream?x=1")
    assert clean == f"{scheme}://***@10.0.0.7:554/stream?***"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtmp://host/live/KEY", "rtmp://host/live/***"),
        ("RTMPS://host:443/app/one/KEY?token=a/b&x=1", "RTMPS://host:443/app/one/***?***"),
        ("rtmp://me:KEY@host/live/KEY/", "rtmp://***@host/live/***/"),
        ("rtmp://host/KEY", "rtmp://host/***"),
        ("rtmp://host:1935", "rtmp://host:1935"),
    ],
)
@pytest.mark.parametrize("said", ["{}", "{}: refused", "'{}'", "not {}, but {}; trying again."])
def test_the_key_to_a_channel_is_not_shown(address: str, shown: str, said: str) -> None:
    assert redact(said.format(address, address)) == said.format(shown, shown)
    assert redact(shown) == shown


@pytest.mark.parametrize("password", [CANARY, ENCODED], ids=["raw", "encoded"])
def test_urls_inside_sentences_and_errors(password: str) -> None:
    url = f"rtsp://admin:{password}@cam.lan/1"
    for text in (f"cannot open '{url}': refused", f'got "{url}", {url}', f"[Errno 5] x: '{url}'"):
        clean = redact(text)
        assert is_clean(clean)
        assert "admin" not in clean
        assert "cam.lan/1" in clean
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
    "text",
    [
        "rtsp://cam/1",
        "write to me@example.org",
        "a://b",
        "",
        "/tmp/a@b.mp4",
        "x: 50% @ 3",
        "a/b:c@d.mp4",
    ],
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


NASTY = [
    CANARY,
    "it's-secret",
    'say "secret"',
    """both ' and " secret""",
    "back\\slash'secret",
    "a secret with spaces",
    "sécret&<b>",
    "secret?token=other",
    "tab\tsecret",
    "@@secret@@",
    "se:cr/et#1",
    "%73ecret%",
]
QUOTINGS: list[Callable[[str], str]] = [
    str,
    repr,
    lambda text: f"'{text}'",
    lambda text: f'"{text}"',
    lambda text: repr([text, "'"]),
    lambda text: repr(OSError(2, "refused", text)),
    json.dumps,
    lambda text: json.dumps({"said": text}, ensure_ascii=False),
    html.escape,
    lambda text: html.escape(repr(text)),
    shlex.quote,
    lambda text: f"what?({text}), and once more ({text})",
]


@pytest.mark.parametrize("quoting", QUOTINGS, ids=range(len(QUOTINGS)))
@pytest.mark.parametrize("password", NASTY)
def test_a_protected_address_is_clean_however_it_is_quoted(
    password: str, quoting: Callable[[str], str]
) -> None:
    for spelt in (password, quote(password, safe=""), quote(password), quote_plus(password)):
        for url in (f"rtsp://admin:{spelt}@cam/x", f"admin:{spelt}@cam/x"):
            protect(url)
            assert is_free_of(password, redact(f"input {quoting(url)}: refused"))
            for alone in (password, spelt, quote(password, safe="").lower()):
                assert is_free_of(password, redact(f"it says {quoting(alone)} is wrong"))


def is_free_of(password: str, text: str) -> bool:
    """Whether no two letters and digits in a row of a password are left of it."""
    rest = re.sub("it says|is wrong|said|what|and once more|refused|input|OSError|cam/x", "", text)
    rest = re.sub("FileNotFoundError|rtsp|quot|x27", "", rest)
    parts = re.findall(r"[a-z0-9é]{3,}", unquote(password))
    return not any(part in rest for part in parts)


@pytest.mark.parametrize("password", ["a'b", '"', "' '"])
def test_a_short_password_with_a_quote_in_it_goes_with_its_address(password: str) -> None:
    url = f"rtsp://u:{password}@cam/x"
    protect(url)
    for text in (url, repr(url), json.dumps(url)):
        assert redact(f"input {text}: refused").strip("'\"").count("rtsp://***@cam/x") == 1


def test_a_key_with_a_quote_in_it_is_removed() -> None:
    protect("http://cam/v?token=it's-hunter22&size=3#top")
    assert redact("http://cam/v?token=it's-hunter22&size=3") == "http://cam/v?***"
    assert redact("it said it's-hunter22") == "it said ***"


def test_what_is_not_utf_8_can_be_shown_and_hidden() -> None:
    assert redact("caf\udce9 \ud800") == r"caf\xe9 ?"
    protect("rtsp://user:caf\udce9@camera/x")
    assert redact("refused caf\udce9, caf%E9") == "refused ***, ***"


@pytest.mark.parametrize(
    "value",
    [
        f"rtsp://u:{CANARY}@cam/x",
        (f"rtsp://u:{CANARY}@cam/x", float("nan")),
        [f"rtsp://u:{CANARY}@cam/x", {"in": (f"rtsp://u:{CANARY}@cam/x",)}],
        {f"rtsp://u:{CANARY}@cam/x": float("inf")},
        {"set": {f"rtsp://u:{CANARY}@cam/x"}},
        frozenset([f"rtsp://u:{CANARY}@cam/x"]),
        OSError(f"rtsp://u:{CANARY}@cam/x"),
        Path(f"rtsp://u:{CANARY}@cam/x"),
        f"rtsp://u:{CANARY}@cam/x".encode(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_json_has_no_secret_in_it_whatever_holds_it(value: Any) -> None:
    protect(f"rtsp://u:{CANARY}@cam/x")
    text = json.dumps(json_value(value), allow_nan=False)
    assert "cam/x" in text
    assert is_clean(text)


def test_json_keeps_what_json_has() -> None:
    assert json_value({"a": (1, True, None, 1.23456)}) == {"a": [1, True, None, 1.235]}


def forget_the_last() -> None:
    """Lets go of so many addresses that those before them are forgotten, and of as many secrets."""
    for number in range(LINGERING + 1):
        SecretAddress(f"rtsp://u:lingering-{number}@cam/x")
    SecretAddress("rtsp://u:lingering@cam/x")


def test_the_secrets_of_an_address_are_known_while_it_is_held_and_shortly_after() -> None:
    address = SecretAddress("rtsp://u:sesame-71@cam/x")
    held = [address, copy.deepcopy(address), pickle.loads(pickle.dumps(address))]
    assert held == ["rtsp://u:sesame-71@cam/x"] * 3
    del address
    while held:
        forget_the_last()
        assert redact("no to sesame-71") == "no to ***"
        held.pop()
    assert redact("no to sesame-71") == "no to ***", "it may have failed just now"
    forget_the_last()
    assert redact("no to sesame-71") == "no to sesame-71"


def test_what_several_addresses_hide_stays_hidden_until_the_last_is_gone() -> None:
    one, other = (SecretAddress(f"rtsp://u:sesame-72@cam/{name}") for name in "ab")
    protect_word("sesame-73")
    del one
    forget_the_last()
    assert redact("sesame-72, sesame-73") == "***, ***"
    del other
    forget_the_last()
    assert redact("sesame-72, sesame-73") == "sesame-72, ***"


def test_addresses_that_come_and_go_leave_nothing_and_slow_nothing_down() -> None:
    forget_the_last()
    before = len(_secrets)
    line = "OUT_DOWN [gate/rtsp-1] rtsp://10.0.0.9:554/live: the connection was refused"
    for number in range(500):
        SecretAddress(f"rtsp://u:a%40word-{number}@10.0.0.9:554/live?key=abc{number}x")
    assert len(_secrets) < before + 40 * LINGERING
    held = [SecretAddress(f"rtsp://u:word-{n}@10.0.0.9:554/live") for n in range(500)]
    begun_s = time.thread_time()
    for _ in range(20):
        assert redact(line) == line
    assert time.thread_time() - begun_s < 20 * 0.005, "of each line, with 500 addresses held"
    assert redact("word-7 and word-499") == "*** and ***"
    assert len(held) == 500


def test_addresses_are_held_and_let_go_in_any_thread() -> None:
    kept = SecretAddress("rtsp://u:sesame-74@cam/x")
    failed: list[str] = []

    def come_and_go() -> None:
        for _ in range(40):
            SecretAddress("rtsp://u:sesame-74@cam/x")
            if redact("sesame-74") != "***":
                failed.append("sesame-74")

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    forget_the_last()
    assert redact(f"{kept[9:18]} of {len(failed)}") == "*** of 0"
