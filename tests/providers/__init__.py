"""Local servers that speak the providers' protocols and keep a ledger of their own.

They bill as the providers do, by what they themselves saw, so that a test compares our figures with
somebody else's. They can misbehave as providers do.
"""
