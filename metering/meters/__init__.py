"""One file for each source of truth: the socket, the model's metrics, the room."""
