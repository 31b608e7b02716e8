"""What the launch form asks about agents on other machines: fields, checks, and the request's part.

The checks are the engine's own; nothing is asked for as long as the run does not listen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from chaperon_engine import (
    MAX_AGENTS,
    LaunchRequest,
    address_of,
    count,
    seconds,
    show_count,
    visible,
)
from chaperon_tui.raster.cells import Row
from chaperon_tui.state.figures import show_time

LISTEN, EXPECT = "listen", "expect"
TERMS = ("start_timeout", "fewer_ok", "on_loss")
"""What is asked about agents, when there are to be any."""
KEYS = (LISTEN, EXPECT, *TERMS)
ON_LOSS = ("continue", "respread", "fail")
YES, NO = "yes", "no"
DEFAULT_TIMEOUT_S = LaunchRequest().start_timeout_s


class AgentSettings(TypedDict, total=False):
    """Fields of a LaunchRequest."""

    listen: str
    expect: int
    start_timeout_s: float
    fewer_ok: bool
    on_loss: str


def is_listening(values: Mapping[str, str]) -> bool:
    """Others can come to the run: agents, or who watches it."""
    return bool(values.get(LISTEN, "").strip())


def unasked(values: Mapping[str, str]) -> tuple[str, ...]:
    """Keys that the form does not ask for now."""
    if not is_listening(values):
        return KEYS
    return () if values.get(EXPECT, "").strip() else TERMS


def agent_problem(key: str, text: str) -> str:
    """What is wrong with the value of one field of a form that listens. Raises ValueError and
    UserError with the engine's sentence."""
    if key == LISTEN and text:
        address_of(text)
    if key == EXPECT and text and not 0 <= count(text, "agents") <= MAX_AGENTS:
        return f"Say how many agents the start waits for, at most {MAX_AGENTS:,}, or nothing."
    if key == "start_timeout" and text and seconds(text, "start within") <= 0:
        return "The time for the start must be above zero."
    if key == "fewer_ok" and text not in ("", YES, NO):
        return "Say yes or no."
    if key == "on_loss" and text not in ("", *ON_LOSS):
        return f"Say {', '.join(ON_LOSS[:-1])} or {ON_LOSS[-1]}."
    return ""


def agent_settings(base: LaunchRequest, values: Mapping[str, str]) -> AgentSettings:
    """The request's part; `values` have no problems. A form without these fields keeps the
    request's own."""
    if LISTEN not in values:
        return {
            "listen": base.listen, "expect": base.expect, "start_timeout_s": base.start_timeout_s,
            "fewer_ok": base.fewer_ok, "on_loss": base.on_loss,
        }  # fmt: skip
    text = {key: values.get(key, "").strip() for key in KEYS}
    if not text[LISTEN]:
        return {}
    if not text[EXPECT] or not count(text[EXPECT]):
        return {"listen": text[LISTEN], "expect": 0}
    return {
        "listen": text[LISTEN],
        "expect": count(text[EXPECT]),
        "start_timeout_s": seconds(text["start_timeout"] or DEFAULT_TIMEOUT_S),
        "fewer_ok": text["fewer_ok"] == YES,
        "on_loss": text["on_loss"] or ON_LOSS[0],
    }


def launch_words(values: Mapping[str, str]) -> str:
    """How the form is sent off; `values` have no problems."""
    found = agent_settings(LaunchRequest(), values)
    if found.get(LISTEN) and not found.get(EXPECT):
        return "Enter or F5 launches. It can be watched from elsewhere and needs no agents."
    return "Enter or F5 launches."


def agent_rows(values: Mapping[str, str]) -> list[Row]:
    """What the plan says of agents; nothing when the run does not listen. `values` have no
    problems."""
    found = agent_settings(LaunchRequest(), values)
    if not found:
        return []
    expect = found["expect"]
    if not expect:
        return [
            (), (("Other machines", "heading"),),
            (("  nobody is waited for; watched at ", ""), (visible(found["listen"], 80), "value")),
            (("    the run shows the line that attaches a viewer", "dim"),),
        ]  # fmt: skip
    noun = "agent" if expect == 1 else "agents"
    late = "begins with fewer" if found["fewer_ok"] else "gives up"
    loss = {
        "continue": "goes on without it",
        "respread": "its sessions go to the others",
        "fail": "ends as failed",
    }[found["on_loss"]]
    return [
        (),
        (("Other machines", "heading"),),
        ((f"  {show_count(expect)} {noun} at ", ""), (visible(found["listen"], 80), "value")),
        ((f"    after {show_time(found['start_timeout_s'])} without them it {late}", "dim"),),
        ((f"    when one is lost: {loss}", "dim"),),
    ]
