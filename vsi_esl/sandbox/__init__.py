"""A switch for the desk: speaks ESL, simulates calls, and says that it does."""

from .demo import demo_caller
from .server import SandboxSwitch

__all__ = ["SandboxSwitch", "demo_caller"]
