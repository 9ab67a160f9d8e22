"""Fetches a model from a Hugging Face hub into a volume, once, and proves on every start that it is still the same."""
