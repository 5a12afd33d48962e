"""A conversation in a form: one message per paragraph, `user: ...`, `assistant: ...`, the first one `system: ...`."""

import re
from collections.abc import Sequence
from typing import Final

from modelyard.router import Message
from modelyard_contracts.inference.generate import ROLES

CHAT: Final = "chat"
"""Name of the field."""
_START: Final = re.compile(rf"^({'|'.join(ROLES)}):[ ]?", re.MULTILINE)


class UnreadableChat(ValueError):
    """Text before the first role."""


def read_chat(text: str) -> list[Message]:
    """The messages of the field; lines without a role belong to the message before."""
    parts = _START.split(text.replace("\r\n", "\n").strip())
    if parts[0].strip():
        raise UnreadableChat(f"Conversation: begin each message with {', '.join(f'{role}:' for role in ROLES)}")
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return [Message(role=role, content=content.strip()) for role, content in pairs]


def write_chat(messages: Sequence[Message]) -> str:
    """The messages as the field holds them."""
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages)
