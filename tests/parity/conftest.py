"""The target and home of the scenarios' tests."""

from tests.scenarios.conftest import home, target, target_process

__all__ = ["home", "target", "target_process"]
