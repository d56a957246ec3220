"""Whose an API is, by its host."""

from __future__ import annotations

PROVIDER_BY_HOST = {
    "api.openai.com": "openai",
    "api.groq.com": "groq",
    "api.x.ai": "x-ai",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral",
    "openrouter.ai": "openrouter",
    "api.together.xyz": "together",
    "api.cerebras.ai": "cerebras",
    "api.fireworks.ai": "fireworks",
    "api.perplexity.ai": "perplexity",
}
"""The OpenAI plugin names its provider by the host of its base URL; these are the hosts we know."""
