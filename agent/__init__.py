"""The transcriber: rooms, speech and text. It knows no price."""
