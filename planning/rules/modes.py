"""What `auto` can come to. Standard library only: rollouts load it, and wait for nothing else."""

from __future__ import annotations

from typing import Literal

AnswerMode = Literal["agent", "two-step"]
RolloutMode = Literal["rolling", "blue-green", "recreate"]
