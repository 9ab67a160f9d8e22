"""The official PageIndex library behind an HTTP API, answering with the stack's own vLLM."""
