"""People in a real browser: Chromium, livekit-client from npm, and a microphone that plays speech.

They open the page of examples/browser, and what is asserted is what its list of captions shows.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright
from playwright.async_api import TimeoutError as PlaywrightTimeout

from demo.changes import Changes
from demo.clips import SAMPLE_RATE, load_clip
from demo.server import LocalServer, cache_folder
from examples.browser.serve import application

CHROMIUM = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
CLIENT = "livekit-client@2.23.0"
CLIENT_SHA512 = (
    "j9Kg86nJjBjNFUD+ukp2jwMCGa0k+YD5gU//RzAM+ZY3pbG631QCte7fQjwqWMmtBzhDJL9nKYuOLMv/9IbAxg=="
)
NPM_SECONDS = 60
BREATH_SECONDS = 0.4
"""Before the first word, as people do who have just switched their microphone on."""

_FLAGS = (
    "--no-sandbox",  # it refuses to run as root with one
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
)
_RECORD_CAPTIONS = """
addEventListener("DOMContentLoaded", () => {
  const list = document.querySelector("#captions");
  const known = new Map();
  const look = () => {
    for (const [segment, line] of [...list.children].map(LINE)) {
      const state = JSON.stringify(line);
      if (known.get(segment) !== state) captionShown(state);
      known.set(segment, state);
    }
  };
  new MutationObserver(look).observe(
    list, { subtree: true, childList: true, characterData: true, attributes: true });
});
"""
_LINE = """((item) => [item.dataset.segment, {
  segment_id: item.dataset.segment,
  name: item.querySelector("b").textContent,
  text: item.querySelector("span").textContent,
  final: item.dataset.final === "true",
}])"""


_MESSAGES = """[...document.querySelectorAll("#messages li")].map((item) =>
  [item.querySelector("b").textContent, item.querySelector("span").textContent])"""


class NoBrowser(Exception):
    """There is no browser, or no livekit-client to run in it."""


@dataclass(frozen=True)
class Line:
    """One caption as it is shown, or was at some moment."""

    segment_id: str
    name: str
    text: str
    final: bool


def find_chromium() -> str:
    """Where Chromium is.

    Raises:
        NoBrowser: nowhere on PATH; the message says how to get it.
    """
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        raise NoBrowser("no Chromium here: apt-get install chromium")
    return found


def fetch_client() -> Path:
    """livekit-client's package, unpacked: fetched once, and only if it is what it was.

    Raises:
        NoBrowser: it cannot be fetched here.
        ValueError: what came is not what this version was.
    """
    target = cache_folder() / CLIENT.replace("@", "-")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=target.parent, prefix="npm-") as folder:
                archive = _npm_pack(Path(folder))
                digest = hashlib.sha512(archive.read_bytes()).digest()
                if (came := base64.b64encode(digest).decode()) != CLIENT_SHA512:
                    raise ValueError(f"{CLIENT} has sha512-{came}, not sha512-{CLIENT_SHA512}")
                with tarfile.open(archive) as files:
                    files.extractall(folder, filter="data")
                (Path(folder) / "package").rename(target)
    return target


def _npm_pack(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise NoBrowser("no npm here: apt-get install npm")
    quietly = ("--silent", "--ignore-scripts", "--fetch-retries=0")
    command = (npm, "pack", CLIENT, *quietly, "--pack-destination", folder)
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=NPM_SECONDS
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise NoBrowser(f"npm pack {CLIENT} failed: is a package registry reachable?") from error
    (archive,) = folder.glob("*.tgz")
    return archive


class Person:
    """Somebody at the example page.

    Attributes:
        seen: every state that any caption was shown in, in order, across reloads.
        errors: what the page complained of.
    """

    def __init__(self, page: Page, microphone: Path | None) -> None:
        self.page = page
        self.seen: list[Line] = []
        self.errors: list[str] = []
        self._microphone = microphone
        self._changes = Changes()

    async def open(self, address: str) -> None:
        """Open the page, and watch its captions."""
        self.page.on("pageerror", lambda error: self.errors.append(error.message))
        await self.page.expose_function("captionShown", self._shown)
        await self.page.add_init_script(_RECORD_CAPTIONS.replace("LINE", _LINE))
        await self.page.goto(address)

    async def join(self) -> None:
        """Press Join; returns once in the room, with the microphone on where there is one."""
        await self.page.click("#join")
        await self.page.wait_for_selector("#status:text-is('connected')")
        if self._microphone:
            await self.page.wait_for_selector("#microphone:text-is('Mute')")

    async def reload(self) -> None:
        """Reload the page and join again."""
        await self.page.reload()
        await self.join()

    async def reconnect(self, scenario: str) -> None:
        """Lose the connection in one of livekit-client's scenarios; returns once it is back."""
        await self.page.evaluate(
            """async (scenario) => {
                const back = new Promise((resolve) => room.once("reconnected", resolve));
                await room.simulateScenario(scenario);
                await back;
            }""",
            scenario,
        )

    async def leave(self) -> None:
        """Close the page."""
        await self.page.close(run_before_unload=False)

    def get_ready_to_say(self, *clips: str) -> str:
        """Lay clips into the microphone, for when it is opened next; returns their words."""
        assert self._microphone, "this person has no microphone"
        spoken = [load_clip(name) for name in clips]
        breath = np.zeros(int(BREATH_SECONDS * SAMPLE_RATE), np.int16)
        samples = np.concatenate([breath, *(clip.samples for clip in spoken)])
        with wave.open(str(self._microphone), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        return " ".join(clip.said for clip in spoken)

    async def say(self, *clips: str) -> str:
        """Mute, unmute, and say some clips; returns their words, as soon as they are begun."""
        await self.page.click("#microphone:text-is('Mute')")
        await self.page.wait_for_selector("#microphone:text-is('Unmute'):enabled")
        words = self.get_ready_to_say(*clips)
        await self.page.click("#microphone")
        await self.page.wait_for_selector("#microphone:text-is('Mute')")
        return words

    async def write(self, text: str) -> None:
        """Write in the chat."""
        await self.page.fill("#write input", text)
        await self.page.click("#write button")

    async def until_messages(self, expected: list[tuple[str, str]]) -> None:
        """Wait until the chat shows just this: who wrote what.

        Raises:
            TimeoutError: it never did; the message says what it shows.
        """
        try:
            await self.page.wait_for_function(
                f"(expected) => JSON.stringify({_MESSAGES}) === expected",
                arg=json.dumps(expected, separators=(",", ":"), ensure_ascii=False),
            )
        except PlaywrightTimeout:
            raise TimeoutError(f"the chat shows {await self.page.evaluate(_MESSAGES)}") from None

    async def until_message(self, begins: str) -> str:
        """Wait until the chat shows a message that begins so; returns it."""
        await self.page.wait_for_function(
            f"(begins) => {_MESSAGES}.some(([, text]) => text.startsWith(begins))", arg=begins
        )
        found: list[list[str]] = await self.page.evaluate(_MESSAGES)
        return next(text for _, text in found if text.startswith(begins))

    async def shown(self) -> list[Line]:
        """The captions that can be read at this moment, from top to bottom."""
        found = await self.page.eval_on_selector_all(
            "#captions > li", f"(items) => items.map((item) => {_LINE}(item)[1])"
        )
        return [Line(**line) for line in found]

    async def until(self, matching: Callable[[list[Line]], bool], *, timeout: float = 40) -> None:
        """Wait until what has been seen so far matches.

        Raises:
            AssertionError: it did not within `timeout` seconds; the message has all that was seen.
        """
        try:
            await self._changes.until(lambda: matching(self.seen) or None, timeout)
        except TimeoutError:
            raise AssertionError(f"not seen within {timeout:g} s: {self.seen}") from None

    def _shown(self, line: str) -> None:
        self.seen.append(Line(**json.loads(line)))
        self._changes.notify()


class Chromium:
    """A running browser with one microphone, and the page to open in it."""

    def __init__(self, browser: Browser, address: str, microphone: Path) -> None:
        self._browser = browser
        self._address = address
        self._microphone = microphone

    async def person(self, room: str, name: str, *, microphone: bool = True) -> Person:
        """Somebody who has opened the page, in a profile of their own, and not joined yet."""
        context = await self._browser.new_context(viewport={"width": 800, "height": 500})
        person = Person(await context.new_page(), self._microphone if microphone else None)
        asked = {"room": room, "name": name} | ({} if microphone else {"microphone": "off"})
        await person.open(f"{self._address}/?{urlencode(asked)}")
        return person


@asynccontextmanager
async def chromium(server: LocalServer, folder: Path) -> AsyncIterator[Chromium]:
    """A browser, and the example's own server for its page.

    Args:
        server: LiveKit's.
        folder: where the microphone's sound is.

    Raises:
        NoBrowser: there is none on this machine.
    """
    binary, client = find_chromium(), await asyncio.to_thread(fetch_client)
    microphone = folder / "microphone.wav"
    flags = [*_FLAGS, f"--use-file-for-fake-audio-capture={microphone}%noloop"]
    async with (
        _serving(application(server.url, server.api_key, server.api_secret, client=client)) as at,
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=binary, args=flags) as browser,
    ):
        yield Chromium(browser, at, microphone)


@asynccontextmanager
async def _serving(page: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(page)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
