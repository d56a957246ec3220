"""Recordings: LiveKit Egress makes them, the transcriber asks for them and meters them."""
