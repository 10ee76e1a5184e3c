"""What the endpoint tests stand on: a server on loopback that speaks OpenAI's chat protocol, well or as badly as told to."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from answers import QuietServer

_FENCED = re.compile(r"^(\S+) text (\d+) begins\n(.*?)\n\1 text \2 ends$", re.MULTILINE | re.DOTALL)
SHARES = {"good": (5, 10, 85), "bad": (90, 8, 2)}


@dataclasses.dataclass(frozen=True)
class Reply:
    """One answer. `content` is the model's words (None: as `judged`); `body` replaces the whole; `wait` are seconds before it."""

    content: str | None = None
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    wait: float = 0.0
    usage: tuple[int, int] | None = (1000, 100)
    message: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    body: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request: its headers, the JSON it held, and the texts in it."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    at: float

    @property
    def texts(self) -> list[str]:
        return [text for _, _, text in _FENCED.findall(self.body["messages"][-1]["content"])]

    @property
    def form(self) -> str:
        return self.body.get("response_format", {}).get("type", "plain" if "temperature" in self.body else "bare")


def judged(texts: list[str]) -> str:
    """What a model that goes by the words good and bad answers, in the form that it is asked for."""
    answers = []
    for number, text in enumerate(texts, 1):
        negative, neutral, positive = next((shares for word, shares in SHARES.items() if word in text), (10, 80, 10))
        answers.append({"id": number, "negative": negative, "neutral": neutral, "positive": positive})
    return json.dumps({"answers": answers})


class Chat:
    """`with Chat() as chat:` answers at `chat.url`; `chat.replies` are functions that are tried first, one a request."""

    def __init__(self, *replies: Callable[[Asked], Reply], always: Callable[[Asked], Reply] = lambda _: Reply()) -> None:
        self.replies = list(replies)
        self.always = always
        self.asked: list[Asked] = []
        chat = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body, time.monotonic())
                chat.asked.append(asked)
                reply = (chat.replies.pop(0) if chat.replies else chat.always)(asked)
                time.sleep(reply.wait)
                content = reply.body if reply.body is not None else chat._completion(asked, reply)
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    @staticmethod
    def _completion(asked: Asked, reply: Reply) -> bytes:
        if reply.status != 200:
            echo = json.dumps(asked.body, ensure_ascii=False) + asked.headers.get("authorization", "")
            return json.dumps({"error": {"message": f"no: {echo}", "type": "x", "code": "of_its_own"}}).encode()
        content = judged(asked.texts) if reply.content is None else reply.content
        message = {"role": "assistant", "content": content, **reply.message}
        found = {"id": "1", "object": "chat.completion", "created": 1, "model": asked.body["model"],
                 "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}  # fmt: skip
        if reply.usage:
            asked_for, answered = reply.usage
            found["usage"] = {"prompt_tokens": asked_for, "completion_tokens": answered, "total_tokens": asked_for + answered}
        return json.dumps(found).encode()

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
