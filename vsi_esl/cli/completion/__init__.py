"""`vsi-esl completion`: what a shell has to be told so that it completes our commands."""

from .command import completion

__all__ = ["completion"]
