"""Locust's quickest user on the comparison's work; imported by locust in its own environment."""

# mypy: ignore-errors
from locust import FastHttpUser, task


class Get(FastHttpUser):
    """One user that asks without a pause."""

    @task
    def get(self) -> None:
        """GET of the root."""
        self.client.get("/")
