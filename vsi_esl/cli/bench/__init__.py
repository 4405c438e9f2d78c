"""`vsi-esl bench`: figures of one's own service and switch under calls."""

from .command import bench

__all__ = ["bench"]
