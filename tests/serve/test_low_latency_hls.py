"""HLS over HTTP: for players that know of low latency, and for those that do not."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import aiohttp
import pytest
from letting_in import letting_in
from peers import FPS, ROUND, Studio, coded_frames, seen
from peers.waiting import until
from playwright.async_api import Page
from test_live_socket import served

from streamsr.core.packet import Track
from streamsr.core.settings import HlsSettings
from streamsr.serve.app import Server

HLS_JS = "hls.js@1.7.4", "dist/hls.min.js"
PLAYLIST = "application/vnd.apple.mpegurl"
SHORT = HlsSettings(segment_s=1.0, segments=5)


@asynccontextmanager
async def site(
    settings: HlsSettings = SHORT, *, speed: float = 1.0
) -> AsyncIterator[tuple[Studio, str]]:
    """A stream and the address of its HLS."""
    async with Studio() as studio:
        studio.speed = speed
        stream = replace(served(studio), hls=settings)
        async with Server({"cam": stream, "other": served(studio)}) as server:
            yield studio, f"{server.url}hls/cam/"


async def text_of(http: aiohttp.ClientSession, url: str) -> str:
    async with http.get(url) as response:
        assert response.status == 200, await response.text()
        return await response.text()


async def bytes_of(http: aiohttp.ClientSession, url: str) -> bytes:
    async with http.get(url) as response:
        assert response.status == 200, await response.text()
        return await response.read()


async def test_it_is_made_while_somebody_plays_it(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsr.serve.live.hls_store.IDLE_S", 0.3)
    async with site(speed=3) as (studio, url):
        assert studio.broadcaster.wanted == set()
        first = await text_of(http, f"{url}index.m3u8")
        assert first.count("#EXTINF:") == 3
        assert studio.broadcaster.wanted == {Track.OUTPUT, Track.AAC}
        await until(lambda: studio.broadcaster.wanted == set())
        second = await text_of(http, f"{url}index.m3u8")
    numbers = [re.findall(r"seg_(\d+)\.m4s", text) for text in (first, second)]
    assert max(map(int, numbers[0])) < min(map(int, numbers[1])), "a name is used once"


async def test_a_plain_player_plays_it(tmp_path: Path) -> None:
    async with site() as (_, url):
        found = await asyncio.to_thread(seen, f"{url}index.m3u8", 3 * FPS)
    assert found.unbroken
    assert found.offset_s() < 0.1


async def test_files_are_what_the_playlist_says(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with site(speed=2) as (_, url):
        async with http.get(f"{url}index.m3u8") as response:
            assert response.headers["Content-Type"] == PLAYLIST
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            text = await response.text()
        init = re.findall(r'EXT-X-MAP:URI="([^"]+)"', text)[0]
        segment = re.findall(r"^seg_\d+\.m4s$", text, re.MULTILINE)[-1]
        parts = re.findall(rf'URI="({segment[:-4]}\.\d+\.m4s)"', text)
        whole = await bytes_of(http, url + segment)
        assert len(parts) >= 3
        assert b"".join([await bytes_of(http, url + part) for part in parts]) == whole
        (tmp_path / "a.mp4").write_bytes(await bytes_of(http, url + init) + whole)
    assert len(seen(tmp_path / "a.mp4").numbers) == FPS


async def test_a_playlist_waits_for_the_part_that_is_asked_for(
    http: aiohttp.ClientSession,
) -> None:
    async with site() as (_, url):
        text = await text_of(http, f"{url}index.m3u8")
        hint = re.findall(r'PRELOAD-HINT:TYPE=PART,URI="(seg_(\d+)\.(\d+)\.m4s)"', text)[0]
        began_s = monotonic()
        name, number, part = hint
        ahead = text_of(http, f"{url}index.m3u8?_HLS_msn={number}&_HLS_part={int(part) + 1}")
        early = bytes_of(http, url + name)
        later, data = await asyncio.gather(ahead, early)
        assert 0.1 < monotonic() - began_s < 1.5
        assert f'seg_{number}.{int(part) + 1}.m4s"' in later or f"seg_{number}.m4s" in later
        assert data[4:8] == b"moof"
        whole = await text_of(http, f"{url}index.m3u8?_HLS_msn={number}")
        assert f"\nseg_{number}.m4s" in whole
        past = await text_of(http, f"{url}index.m3u8?_HLS_msn={number}&_HLS_part=99")
        assert f'URI="seg_{int(number) + 1}.0.m4s"' in past


@pytest.mark.parametrize(
    "query", ["_HLS_part=1", "_HLS_msn=x", "_HLS_msn=-1", "_HLS_msn=99999999999", "_HLS_msn=²"]
)
async def test_what_cannot_come_is_refused(http: aiohttp.ClientSession, query: str) -> None:
    async with site(speed=3) as (_, url), http.get(f"{url}index.m3u8?{query}") as response:
        assert response.status == 400
        assert "_HLS_" in await response.text()


async def test_a_stream_that_does_not_come_is_said(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsr.serve.live.hls.FIRST_S", 0.2)
    async with site(speed=0.1) as (_, url), http.get(f"{url}index.m3u8") as response:
        assert response.status == 503
        assert "not enough of the stream" in await response.text()


async def test_the_end_is_told(http: aiohttp.ClientSession) -> None:
    async with site(speed=3) as (studio, url):
        await text_of(http, f"{url}index.m3u8")
        studio.broadcaster.close()
        assert (await text_of(http, f"{url}index.m3u8")).endswith("#EXT-X-ENDLIST\n")


async def test_another_size_goes_on(http: aiohttp.ClientSession) -> None:
    coded_frames(192, 108)
    async with site(speed=3) as (studio, url):
        await text_of(http, f"{url}index.m3u8")
        studio.size = (192, 108)
        async with asyncio.timeout(10):
            text = ""
            while "#EXT-X-DISCONTINUITY\n" not in text:
                text = await text_of(http, f"{url}index.m3u8")
        for name in re.findall(r'EXT-X-MAP:URI="([^"]+)"', text):
            assert (await bytes_of(http, url + name))[4:8] == b"ftyp"


async def test_without_audio(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with site(HlsSettings(segment_s=1.0, audio=False), speed=3) as (studio, url):
        await text_of(http, f"{url}index.m3u8")
        assert studio.broadcaster.wanted == {Track.OUTPUT}


@pytest.mark.parametrize(
    "path",
    [
        *("cam/seg_1.m4s", "cam/seg_1.0.m4s", "cam/init_1.mp4", "cam/index.m3u8.tmp", "cam/"),
        *("cam/seg_.m4s", "cam/seg_1.mp4x", "cam/index.m3u8%0a", "cam/..%2findex.m3u8", "cam"),
        *("other/index.m3u8", "nothing/index.m3u8", "cam/x/index.m3u8", "cam/seg_%C2%B2.m4s"),
    ],
)
async def test_all_else_is_not_there(http: aiohttp.ClientSession, path: str) -> None:
    async with site(speed=3) as (_, url), http.get(f"{url.removesuffix('cam/')}{path}") as response:
        assert response.status == 404


async def test_odd_names_are_answered_in_short(http: aiohttp.ClientSession) -> None:
    choose = random.Random(5)
    pieces = ["..", ".", "/", "\\", "%", "seg_", "init_", ".mp4", ".m4s", "1", "\0", "é", "hls"]
    pieces += ["%2e%2e", "%2f", "\r\n", " ", "index.m3u8", "9" * 30]
    async with site(speed=3) as (_, url):
        for _ in range(300):
            name = "".join(choose.choices(pieces, k=choose.randrange(1, 6)))
            path = quote(name, safe="" if choose.random() < 0.7 else "/%.")
            if "index.m3u8" in path:
                continue
            async with http.get(f"{url}{path}", allow_redirects=False) as response:
                assert response.status in (400, 404), path


NUMBER = """(video) => {
  const canvas = document.createElement("canvas");
  const [width, height] = [video.videoWidth, video.videoHeight];
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const { data } = context.getImageData(0, 0, width, Math.ceil(height / 6));
  const green = (x, y) => data[4 * (Math.floor(y) * width + Math.floor(x)) + 1];
  let bits = 0;
  for (let column = 0; column < 16; column += 1) {
    const x = ((column + 0.5) * width) / 24;
    bits = 2 * bits + (green(x, height / 24) > green(x, height / 8));
  }
  return bits;
}"""
PLAY = """(url) => {
  const video = document.createElement("video");
  video.muted = true;
  document.body.replaceChildren(video);
  window.hls = new Hls({ lowLatencyMode: true, enableWorker: false, backBufferLength: 10 });
  window.faults = [];
  hls.on(Hls.Events.ERROR, (_, data) => faults.push(`${data.details} ${data.fatal}`));
  hls.loadSource(url);
  hls.attachMedia(video);
  return video.play();
}"""


@pytest.mark.asyncio(loop_scope="session")
async def test_hls_js_is_at_most_three_seconds_behind(
    page: Page, npm_script: Callable[[str, str], str]
) -> None:
    async with site(HlsSettings()) as (studio, url):
        await page.add_init_script(npm_script(*HLS_JS))  # the site's own policy allows no other
        await page.goto(f"{url.removesuffix('hls/cam/')}livez")
        await page.evaluate(PLAY, f"{url}index.m3u8")
        await page.wait_for_function("() => document.querySelector('video').currentTime > 0")
        await asyncio.sleep(5)  # of playing
        behind_s = []
        for _ in range(20):
            number = await page.evaluate(f"() => ({NUMBER})(document.querySelector('video'))")
            behind_s.append((studio.sent - 1 - number) % ROUND / FPS)
            await asyncio.sleep(0.1)
        assert await page.evaluate("() => hls.latestLevelDetails?.live ?? true")
        assert [f for f in await page.evaluate("() => faults") if f.endswith("true")] == []
        assert max(behind_s) < 3
        quality = "() => document.querySelector('video').getVideoPlaybackQuality()"
        assert await page.evaluate(f"() => ({quality})().totalVideoFrames") > 5 * FPS


@pytest.mark.asyncio(loop_scope="session")
async def test_a_browser_plays_it_by_itself(page: Page) -> None:
    """And behind a token, as the page's link leads to it."""
    async with Studio() as studio:
        streams = {"cam": replace(served(studio), hls=SHORT)}
        async with Server(streams, access=letting_in("a-token-of-a-viewer")) as server:
            url = server.url.replace("://", "://me:a-token-of-a-viewer@")
            await page.goto(f"{url}livez")
            await page.goto(f"{url}hls/cam/index.m3u8")
            await page.wait_for_function("() => document.querySelector('video').currentTime > 2")
            width = await page.evaluate("() => document.querySelector('video').videoWidth")
            assert width == 320


async def test_nothing_is_kept_of_a_stream_that_was_removed(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsr.serve.live.hls_store.GONE_S", 0.3)
    async with Studio() as studio:
        studio.speed = 3
        streams = {"cam": replace(served(studio), hls=SHORT)}
        async with Server(streams) as server:
            url = f"{server.url}hls/cam/index.m3u8"
            await text_of(http, url)
            del streams["cam"]
            async with asyncio.timeout(5):
                while (await answered(http, url)) != 404:
                    assert len(studio.broadcaster) == 0
                    await asyncio.sleep(0.05)


async def answered(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url) as response:
        return response.status


async def test_a_stream_that_is_begun_again_goes_on(http: aiohttp.ClientSession) -> None:
    """As where its outputs are changed: in the gap there is none of its name."""
    async with Studio() as before, Studio() as after:
        before.speed = after.speed = 3
        streams = {"cam": replace(served(before), hls=SHORT)}
        async with Server(streams) as server:
            url = f"{server.url}hls/cam/index.m3u8"
            first = await text_of(http, url)
            waits = asyncio.create_task(text_of(http, f"{url}?_HLS_msn={last_number(first) + 2}"))
            await asyncio.sleep(0)
            del streams["cam"]
            before.broadcaster.close()
            in_the_gap = await text_of(http, url)
            changed = HlsSettings(segment_s=4.0, segments=4, audio=False)
            streams["cam"] = replace(served(after), hls=changed)
            texts = [first, await waits, in_the_gap]
            async with asyncio.timeout(10):
                while "#EXT-X-DISCONTINUITY\n" not in texts[-1]:
                    texts.append(await text_of(http, url))
    assert not [text for text in texts if "#EXT-X-ENDLIST" in text]
    assert {re.findall(r"TARGETDURATION:(\d+)", text)[0] for text in texts} == {"1"}
    numbers = [int(n) for n in re.findall(r"^seg_(\d+)\.m4s", texts[-1], re.MULTILINE)]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[0] <= last_number(first)
    times = re.findall(r"PROGRAM-DATE-TIME:(\S+)", texts[-1])
    assert times == sorted(times)


def last_number(playlist: str) -> int:
    return int(re.findall(r"^seg_(\d+)\.m4s", playlist, re.MULTILINE)[-1])


async def test_one_that_nobody_played_for_long_is_another_discontinuity(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsr.serve.live.hls_store.IDLE_S", 0.3)
    async with site(speed=3) as (studio, url):
        first = await text_of(http, f"{url}index.m3u8")
        await until(lambda: studio.broadcaster.wanted == set())
        second = await text_of(http, f"{url}index.m3u8")
    assert "DISCONTINUITY-SEQUENCE:0\n" in first
    assert "DISCONTINUITY-SEQUENCE:1\n" in second


@pytest.mark.asyncio(loop_scope="session")
async def test_hls_js_plays_on_where_a_stream_is_begun_again(
    page: Page, npm_script: Callable[[str, str], str]
) -> None:
    async with Studio() as before, Studio() as after:
        streams = {"cam": replace(served(before), hls=SHORT)}
        async with Server(streams) as server:
            await page.add_init_script(npm_script(*HLS_JS))
            await page.goto(f"{server.url}livez")
            await page.evaluate(PLAY, f"{server.url}hls/cam/index.m3u8")
            await page.wait_for_function("() => document.querySelector('video').currentTime > 0")
            del streams["cam"]
            before.broadcaster.close()
            await asyncio.sleep(0.5)  # a camera's begin
            streams["cam"] = replace(served(after), hls=SHORT)
            await page.wait_for_function(
                "() => hls.latestLevelDetails.startCC + 1 <= hls.latestLevelDetails.endCC"
            )
            time = await page.evaluate("() => hls.latestLevelDetails.edge")
            await page.wait_for_function(
                f"() => document.querySelector('video').currentTime > {time}"
            )
            assert await page.evaluate("() => hls.latestLevelDetails.live")
            assert [f for f in await page.evaluate("() => faults") if f.endswith("true")] == []
