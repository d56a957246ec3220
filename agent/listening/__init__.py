"""From one participant's microphone to segments: what is sent to STT, and what comes back."""
