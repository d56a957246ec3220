"""The meter's commands, a module for each family of them; importing one registers them."""
