"""The prompts that teachers get: YAML files to read and edit, and the messages that are made of them."""

from .messages import Prompt, render


__all__ = ["Prompt", "render"]
