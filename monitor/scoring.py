"""The section `scorer` of config.yaml: which model judges posts, where it runs, and what it may cost."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from monitor.problems import Hidden
from monitor.section import Seconds, Section

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts that are this machine."""


class Price(Section):
    """What an endpoint charges per million tokens, in a currency of your choice."""

    input: float = Field(ge=0, le=1e6, allow_inf_nan=False)
    output: float = Field(ge=0, le=1e6, allow_inf_nan=False)


Targeted = Literal["mask", "pair", "none", "nli"]


class Scorer(Section):
    """The sentiment model: `embedded`, a folder, a name on the Hugging Face Hub, or one behind an OpenAI-compatible `endpoint`."""

    endpoint: str | None = None
    """Address of a server, up to `/v1`. Passages of posts are sent there; without it no text leaves the machine to be scored."""
    model: str = Field(default="embedded", validate_default=True, min_length=1, max_length=200)
    """With `endpoint`, the model's name there."""
    targeted: Targeted | None = None
    """How a model for transformers is told which team is meant: see monitor/sentiment/huggingface.py."""
    threads: int = Field(default=0, ge=0, le=256)
    """Processor threads; 0 takes all cores."""
    key_env: str | None = Field(default=None, repr=False)
    """Name of the environment variable that holds the endpoint's key."""
    escalate_below: float | None = Field(default=None, gt=1 / 3, le=1)
    """The embedded model scores everything; what it gives no label this probability is asked of the endpoint."""
    time_limit: Seconds = 60.0
    """For one answer of the endpoint."""
    tokens_per_day: int | None = Field(default=None, ge=10_000, le=10**12)
    """At most so many, asked and answered together, on a UTC day. One request takes up to 6,000."""
    price: Price | None = None
    spend_per_day: float | None = Field(default=None, gt=0, le=1e9)
    """At most so much in the currency of `price` on a UTC day."""

    @field_validator("endpoint")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        remedy = "write the address of a server that speaks OpenAI's protocol, such as http://localhost:11434/v1"
        try:
            parts = urlsplit(value)
            fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not any(map(str.isspace, value))
        except ValueError:
            fine = False
        if not fine:
            raise ValueError(remedy)
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(f"{remedy}, alone: a key belongs in an environment variable, which key_env names")
        if parts.path.rstrip("/").endswith("/completions"):
            raise ValueError(f"{remedy}, without /chat/completions at its end")
        return value

    @field_validator("model")
    @classmethod
    def _of_the_endpoint(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("endpoint") and value == "embedded":
            raise ValueError("write the name that the endpoint gives its model")
        return value

    @field_validator("targeted")
    @classmethod
    def _has_a_choice(cls, value: Targeted | None, info: ValidationInfo) -> Targeted | None:
        if value and info.data.get("endpoint"):
            raise ValueError("take it out: an endpoint is always shown the mentions masked")
        if value and info.data.get("model") == "embedded":
            raise ValueError("take it out: the embedded model is always given the mentions masked")
        return value

    @field_validator("key_env")
    @classmethod
    def _a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch("[A-Z_][A-Z0-9_]{0,99}", value):
            raise Hidden("write the name of an environment variable, in capitals; the key itself is its value and stands nowhere here")
        return value

    @field_validator("key_env", "escalate_below", "time_limit", "tokens_per_day", "price", "spend_per_day")
    @classmethod
    def _has_an_endpoint(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and "endpoint" in info.data and info.data["endpoint"] is None:
            raise ValueError("write endpoint, the address of a server, too, or take this out")
        return value

    @field_validator("spend_per_day")
    @classmethod
    def _has_a_price(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and "price" in info.data and info.data["price"] is None:
            raise ValueError("write price: {input: ..., output: ...} too, per million tokens, or a limit as tokens_per_day")
        return value

    @property
    def host(self) -> str:
        """The host of the endpoint; empty where there is none."""
        return (urlsplit(self.endpoint).hostname or "") if self.endpoint else ""

    @property
    def stays_here(self) -> bool:
        """Whether what is scored never leaves this machine."""
        return self.host in ("", *LOOPBACK)
