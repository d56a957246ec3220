"""The meeting that `make demo` holds, and what the end-to-end tests share with it.

A real livekit-server and people who speak over real WebRTC: nothing here is mocked, so what the
meter says can be held against what the server itself saw.
"""
