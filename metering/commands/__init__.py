"""The meter's commands, a module for each family of them; importing one adds it to the app."""
