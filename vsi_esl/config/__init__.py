"""Settings: a YAML file and the environment, checked into frozen dataclasses."""

from .loading import ConfigError, Loaded, describe, example_yaml, load
from .settings import Config

__all__ = ["Config", "ConfigError", "Loaded", "describe", "example_yaml", "load"]
