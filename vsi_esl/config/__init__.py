"""Settings: a YAML file and the environment, checked into frozen dataclasses."""

from .display import describe, differences, example_yaml, reference_table
from .loading import ConfigError, Loaded, load
from .settings import Config

__all__ = [
    "Config",
    "ConfigError",
    "Loaded",
    "describe",
    "differences",
    "example_yaml",
    "load",
    "reference_table",
]
