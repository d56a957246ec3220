"""How the transcriber behaves among people: it says that it is there, and whom it must not hear."""
