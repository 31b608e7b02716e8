"""k9's Python script for the comparison's work; imported by k9 in its own environment."""

# mypy: ignore-errors
import k9


async def default() -> None:
    """GET of the URL that the environment names."""
    await k9.http.get(k9.env["URL"])
