"""What an address may show: scheme, host, port, and of its path what no secret looks like. Pure.

No name of a parameter is known here. A segment of a path is shown where it reads as words and short
numbers, as "Streaming", "ch00_0", "h264Preview_01_main" and "media.amp" do; "user=a_password=b",
"cam;pwd=b", a JWT, a signature and the random key of a channel do not.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from urllib.parse import unquote

from streamsr.core.redact.reading import CERTAIN, Reading, read_address, readings

__all__ = ["MASK", "hidden_words", "shown"]

MASK = "***"
MOST_PARTS, LONGEST_PART, LONGEST = 4, 16, 32  # of a segment: parts, characters of one, of all
MOST_DIGITS = 4  # in a row: five are a short PIN or a password more often than a channel
LONGEST_CAPITALS = 8
ODDITY = 1  # that is allowed in a segment
MOST_RUNS = 3  # of letters or digits in a part: h264Preview
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}")
SIGNS = re.compile(r"[._~-]")
RUNS = re.compile(r"[^\W\d_]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])|\d+")  # Preview, RTSP, 264
ENDING = re.compile(r"(?<=\w)\.(?:[a-z]{2,5}|m3u8|mp4|3gp)$", re.I)
FORMATS = re.compile(r"mjpe?g|mpeg|rtsp|rtmp|rtp|https?|html?|onvif|psia|isapi|nph", re.I)
LINES = re.compile(r"\d{3,4}[pi]")
VOWEL = re.compile(r"[^\Wb-df-hj-np-tv-xz]", re.I)
FOLLOWERS = (  # of a to z, within English words
    "a-z abcdefijlmoprstuy acdefhiklmoprstuy abcdefgilmnoprstuy a-z acdefilmorstuy aceghilmnorstu "
    "aeilorstuy a-gkl-prstuvxz aeou aehilost abcdefiklmnopstuvy abcdeilmopstuy a-iklmnoprstuvy a-z "
    "acdehilnoprstuy u a-gik-vy a-ik-uwy a-ilmnoprstuvwy a-gi-lmnoprstx aeio acehinors acdeipt "
    "aceilmnoprst aei"
)
RARE = re.compile(
    "|".join(f"{chr(97 + n)}(?![{s}])(?=[a-z])" for n, s in enumerate(FOLLOWERS.split())), re.I
)
COMMON = re.compile(r"\d{1,5}|\d+x\d+|[a-z]{1,5}|[a-z]\d{3}")  # as values of a query are: main, 1
CLAUSES = re.compile(r"=(.*?)(?=_[A-Za-z]+=|[;&,]|$)")  # user=a_password=b, cam;pwd=b


def shown(url: str) -> str:
    """Returns the address as anybody may see it, "***" where there was more.

    A host that may be a piece of a password is not shown: where an address has two readings.
    """
    scheme, _, _ = url.partition("://")
    reading = read_address(url)
    if not SCHEME.fullmatch(scheme):
        return MASK
    if reading is None or not _is_sure(url, reading):
        return f"{scheme}://{MASK}"
    login = "" if reading.login is None else f"{MASK if reading.login else ''}@"
    more = f"?{MASK}" if len(reading.more) > 1 else ""
    return f"{scheme}://{login}{reading.place}{_shown_path(reading)}{more}"


def hidden_words(url: str) -> Iterator[str]:
    """Yields what ``url`` hides and a message may hold without it, aside from logins."""
    reading = read_address(url)
    if reading is None:
        return
    plain = re.fullmatch("[a-z/_-]*", reading.tail)  # as live/gate, which messages may hold too
    if reading.tail != _shown_path(reading) and not plain:
        yield reading.tail.lstrip("/")
    for segment in reading.path.split("/"):
        if not _is_readable(segment):
            yield segment
            yield from _values(CLAUSES.findall(segment))
    yield reading.more[1:]
    for pair in re.split("[&;?]", reading.more):
        yield pair if "=" in pair else ""
        value = pair.partition("=")[2] or pair
        yield from _values([value, *value.split("#")])


def _values(values: list[str]) -> Iterator[str]:
    """Those that are not as common as "main" and "1", which messages hold for other reasons."""
    yield from (value for value in values if not COMMON.fullmatch(value))


def _is_sure(url: str, reading: Reading) -> bool:
    """Whether ``place`` is the host, and no piece of a login or of a query."""
    found = readings(url)
    before, after = found[: found.index(reading)], found[found.index(reading) + 1 :]
    if before and re.search(r"\?.*=", reading.login or ""):
        return False  # the @ may be one of a query
    return not after or (
        reading.likelihood == CERTAIN and all(other.likelihood < CERTAIN for other in after)
    )


def _shown_path(reading: Reading) -> str:
    segments = reading.path.split("/")
    signs = [number for number, segment in enumerate(segments) if "@" in segment]
    hidden = set(range(1, 1 + max(signs, default=0)))
    last = len(reading.path.rstrip("/").split("/")) - 1
    if reading.scheme.lower().startswith("rtmp") and last > 0:
        hidden.add(last)  # the key to somebody's channel, however it reads
    return "/".join(
        MASK if number in hidden or not _is_readable(segment) else segment
        for number, segment in enumerate(segments)
    )


def _is_readable(segment: str) -> bool:
    """Whether a segment of a path reads as words and short numbers."""
    plain = ENDING.sub("", unquote(segment))
    parts = SIGNS.split(plain)
    if len(plain) > LONGEST or len(parts) > MOST_PARTS:
        return False
    if sum(map(_oddity, parts)) > ODDITY:
        return False
    lengths = [(length, len([*same])) for length, same in groupby(map(len, parts))]
    return not any(length >= 4 and count >= 3 for length, count in lengths)  # abcd-efgh-ijkl


def _oddity(part: str) -> int:
    """How little it is like a word, a short number, or both, as "ch00" and "h264Preview" are."""
    runs = RUNS.findall(part)
    if LINES.fullmatch(part):
        return 0
    if "".join(runs) != part or len(part) > LONGEST_PART or len(runs) > MOST_RUNS:
        return 2 * ODDITY
    if len(runs) == MOST_RUNS and len(runs[0]) > 1 and re.search(r"\d+\D", part):
        return 2 * ODDITY  # aside from h264Preview
    return sum(_oddity_of_run(run, first=number == 0) for number, run in enumerate(runs))


def _oddity_of_run(run: str, *, first: bool) -> int:
    """The same of letters or digits in a row."""
    if run.isdigit():
        return 0 if len(run) <= MOST_DIGITS else 2 * ODDITY
    letters = FORMATS.sub("", run)
    if len(letters) <= 1:
        return 0 if first or len(run) > 1 else 2 * ODDITY
    if letters.isupper() and len(letters) > LONGEST_CAPITALS:
        return 2 * ODDITY
    rare = len(RARE.findall(letters)) + (len(letters) > 3 and not VOWEL.search(letters))
    return rare if len(letters) <= 3 else 2 * ODDITY * rare
