"""Answers from a language model: one call of the provider for each request, within a budget of time and attempts."""
