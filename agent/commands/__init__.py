"""The transcriber's commands besides those that ask for it, a module for each family of them."""
