"""The one door: what leaves through it, and what coming in costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import assistant

HEAVY = (
    "pandas",
    "matplotlib",
    "boto3",
    "botocore",
    "anthropic",
    "gradio",
    "sqlalchemy",
    "xllamacpp",
    "click",
    "tenacity",
    "httpx2",
)

PUBLIC = [
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


def test_all_is_pinned_and_every_name_in_it_is_there() -> None:
    assert sorted(assistant.__all__) == sorted(PUBLIC)
    for name in assistant.__all__:
        assert getattr(assistant, name) is not None
    assert set(dir(assistant)) == set(assistant.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(assistant, "langchain")


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = f"import sys, assistant; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    assert result.stdout.strip() == "[]"
