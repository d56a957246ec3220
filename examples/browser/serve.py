"""The page with captions, and tokens to join with, on this machine only.

npm install --no-save --prefix examples/browser livekit-client
LIVEKIT_URL=... LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=... python examples/browser/serve.py
"""

from __future__ import annotations

import os
from pathlib import Path

from aiohttp import web
from livekit import api

FOLDER = Path(__file__).resolve().parent
CLIENT = FOLDER / "node_modules" / "livekit-client"
PAGE = ("index.html", "page.css", "page.js", "captions.js", "chat.js")
SCRIPT = "livekit-client.umd.js"
SETTINGS = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
PORT = 8090


def application(
    url: str, api_key: str, api_secret: str, *, client: Path = CLIENT
) -> web.Application:
    """The page, livekit-client from its unpacked package, and `/token`.

    Args:
        url: LiveKit's server.
        api_key: of the project.
        api_secret: signs the tokens.
        client: the npm package livekit-client, unpacked.
    """

    async def token(request: web.Request) -> web.Response:
        # Your page asks who it is that wants in; this one lets everybody be whom they say.
        room, name = request.query.get("room"), request.query.get("name")
        identity = request.query.get("identity") or (name or "").lower()
        if not room or not identity:
            return web.Response(status=400, text="say who and where: ?room=standup&name=Alice")
        grant = api.AccessToken(api_key, api_secret).with_identity(identity)
        grant = grant.with_name(name or identity)
        grant = grant.with_grants(api.VideoGrants(room_join=True, room=room))
        return web.json_response({"url": url, "token": grant.to_jwt()})

    files = {f"/{name}": FOLDER / name for name in PAGE}
    files |= {"/": FOLDER / "index.html", f"/{SCRIPT}": client / "dist" / SCRIPT}

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(files[request.path], headers={"Cache-Control": "no-cache"})

    served = web.Application()
    served.add_routes([web.get("/token", token), *(web.get(path, file) for path in files)])
    return served


def main() -> None:
    """Serve until interrupted."""
    if not CLIENT.is_dir():
        raise SystemExit("first: npm install --no-save --prefix examples/browser livekit-client")
    settings = [os.environ.get(name, "") for name in SETTINGS]
    if not all(settings):
        raise SystemExit(f"set {', '.join(SETTINGS)}")
    web.run_app(application(*settings), host="127.0.0.1", port=PORT)


if __name__ == "__main__":
    main()
