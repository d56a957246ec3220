"""What keeps usage within bounds while it happens."""
