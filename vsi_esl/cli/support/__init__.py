"""`vsi-esl support`: what a bug report needs, in one file, without secrets."""

from .command import support

__all__ = ["support"]
