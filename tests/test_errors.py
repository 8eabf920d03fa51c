"""The tree of errors: what each of them says, and that they cross process borders whole."""

from __future__ import annotations

import pickle

import pytest

from assistant import errors
from assistant.errors import AssistantError, ContextTooLongError, InvalidRequestError, ThrottledError

ALL = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, AssistantError)]


def test_the_tree_is_the_one_that_scripts_catch_from() -> None:
    parents = {each.__name__: each.__bases__[0].__name__ for each in ALL if each is not AssistantError}
    assert parents.pop("ContextTooLongError") == "InvalidRequestError"
    assert set(parents.values()) == {"AssistantError"}
    assert set(parents) == {
        *("CredentialsError", "ModelAccessError", "ModelNotFoundError", "InvalidRequestError", "ThrottledError"),
        *("ServiceError", "StreamInterruptedError", "SessionBusyError", "BudgetExceededError", "PromptError"),
        *("StoreError", "LocalModelError"),
    }
    # The picture at the top of the file is what people read.
    assert all(each.__name__ in (errors.__doc__ or "") for each in ALL)


def test_an_error_says_what_where_and_what_to_try() -> None:
    error = ThrottledError("Too many tokens.", model="nova", region="eu-west-1", hint="Wait.")
    assert str(error) == "Too many tokens. (model nova, region eu-west-1)\n  Wait."
    assert str(InvalidRequestError("No.")) == "No."
    assert ContextTooLongError("Long.").hint == ContextTooLongError.default_hint
    assert ContextTooLongError("Long.", hint="").hint == ""


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_errors_cross_process_borders_whole(kind: type[AssistantError]) -> None:
    error = kind("No.", hint="Try.", model="m", region="r", code="c", retry_after=2.5, partial="Ho", transient=True)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert vars(again) == vars(error)
    assert str(again) == str(error)
