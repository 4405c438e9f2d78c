"""`vsi-esl top`: the live legs and rooms of a service, and what it does per second."""

from .command import top

__all__ = ["top"]
