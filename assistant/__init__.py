"""A personal assistant for Amazon Bedrock. Everything public leaves through this door.

Names are loaded when they are first used: `import assistant` alone loads no boto3, no
anthropic, no Gradio and no SQLAlchemy, and reads neither network nor environment.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .catalog import ModelInfo
    from .chats import Chats
    from .clients.base import ChatClient, connect
    from .clients.bedrock import BedrockClient
    from .clients.local import LocalClient
    from .clients.retry import RetryPolicy
    from .doctor import diagnose
    from .documents import Document
    from .errors import (
        AssistantError,
        BudgetExceededError,
        ContextTooLongError,
        CredentialsError,
        InvalidRequestError,
        LocalModelError,
        ModelAccessError,
        ModelNotFoundError,
        PromptError,
        ServiceError,
        SessionBusyError,
        StoreError,
        StreamInterruptedError,
        ThrottledError,
    )
    from .experiments import Experiment
    from .memory import Context, SummaryBufferMemory
    from .messages import (
        Completed,
        Event,
        Message,
        Notice,
        Retrying,
        TextDelta,
        ThinkingDelta,
        TokenCount,
        Turn,
        Usage,
    )
    from .prompts import FewShotPrompt, PromptTemplate
    from .reply import CancelToken, Reply
    from .results import Results
    from .session import ChatSession
    from .store import ConversationStore

_HOME = {
    "catalog": ["ModelInfo"],
    "chats": ["Chats"],
    "clients.base": ["ChatClient", "connect"],
    "clients.bedrock": ["BedrockClient"],
    "clients.local": ["LocalClient"],
    "clients.retry": ["RetryPolicy"],
    "doctor": ["diagnose"],
    "documents": ["Document"],
    "errors": [
        "AssistantError",
        "BudgetExceededError",
        "ContextTooLongError",
        "CredentialsError",
        "InvalidRequestError",
        "LocalModelError",
        "ModelAccessError",
        "ModelNotFoundError",
        "PromptError",
        "ServiceError",
        "SessionBusyError",
        "StoreError",
        "StreamInterruptedError",
        "ThrottledError",
    ],
    "experiments": ["Experiment"],
    "memory": ["Context", "SummaryBufferMemory"],
    "messages": [
        "Completed",
        "Event",
        "Message",
        "Notice",
        "Retrying",
        "TextDelta",
        "ThinkingDelta",
        "TokenCount",
        "Turn",
        "Usage",
    ],
    "prompts": ["FewShotPrompt", "PromptTemplate"],
    "reply": ["CancelToken", "Reply"],
    "results": ["Results"],
    "session": ["ChatSession"],
    "store": ["ConversationStore"],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "AssistantError",
    "BedrockClient",
    "BudgetExceededError",
    "CancelToken",
    "ChatClient",
    "ChatSession",
    "Chats",
    "Completed",
    "Context",
    "ContextTooLongError",
    "ConversationStore",
    "CredentialsError",
    "Document",
    "Event",
    "Experiment",
    "FewShotPrompt",
    "InvalidRequestError",
    "LocalClient",
    "LocalModelError",
    "Message",
    "ModelAccessError",
    "ModelInfo",
    "ModelNotFoundError",
    "Notice",
    "PromptError",
    "PromptTemplate",
    "Reply",
    "Results",
    "RetryPolicy",
    "Retrying",
    "ServiceError",
    "SessionBusyError",
    "StoreError",
    "StreamInterruptedError",
    "SummaryBufferMemory",
    "TextDelta",
    "ThinkingDelta",
    "ThrottledError",
    "TokenCount",
    "Turn",
    "Usage",
    "__version__",
    "connect",
    "diagnose",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
