"""Keeps the libraries off the internet: the model's servers are all that is called."""

import os

OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else LiteLLM fetches its price list when imported
    "LITELLM_TELEMETRY": "False",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",  # else the agent's traces go to OpenAI
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def go_offline() -> None:
    """Must run before ``pageindex``, ``litellm`` or ``agents`` is imported, in every process."""
    os.environ.update(OFFLINE)
