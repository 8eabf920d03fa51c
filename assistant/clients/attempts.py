"""The attempts at one reply: what is corrected between two of them, and what must not be asked twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from ..catalog import ModelInfo
from ..errors import AssistantError, CredentialsError, InvalidRequestError, ModelNotFoundError, ServiceError
from ..messages import Completed, Notice, ThinkingDelta
from ..reply import CalledAs, CancelToken, SourceItem
from .helpers import wait_for
from .rules import LEARNED, Wishes, fit, refused_parameter
from .wire import Request


class Caller(Protocol):
    """A client, as far as an attempt needs it."""

    @property
    def logins(self) -> int: ...

    def renew(self, error: CredentialsError, logins: int) -> bool: ...

    def find(self, model: str, token: CancelToken) -> ModelInfo | None: ...

    def read(self, request: Request, token: CancelToken) -> Iterator[SourceItem]: ...


class Attempts:
    """Each is a request that fits the model by what is known then.

    `request` is what is asked for, `sent` what went out last. `asked` is the model by the caller's name for it.
    """

    def __init__(self, client: Caller, asked: str, request: Request, wishes: Wishes) -> None:
        self.request = request
        self.sent = request
        self._client = client
        self._asked = asked
        self._wishes = wishes
        self._told: set[str] = set()
        self._was_empty = False
        self._shown = False

    def attempt(self, token: CancelToken) -> Iterator[SourceItem]:
        """One attempt; a second request goes out in it where the first was refused for what can be put right."""
        logins = self._client.logins
        try:
            yield from self._with_its_id(token)
        except CredentialsError as caught:
            error = caught
            renewed = wait_for(lambda: self._client.renew(error, logins), token)
            if self._shown or not renewed:
                raise
            yield from self._with_its_id(token)

    def _with_its_id(self, token: CancelToken) -> Iterator[SourceItem]:
        try:
            yield from self._attempt(token)
        except ModelNotFoundError:
            found = None if self._shown else self._client.find(self._asked, token)
            if found is None or found.id == self.request.model:
                raise
            yield CalledAs(found.id)
            yield profile_chosen(self._asked, found.id)
            self.request = replace(self.request, info=found)
            yield from self._attempt(token)

    def _attempt(self, token: CancelToken) -> Iterator[SourceItem]:
        request, notices = fit(self.request, self._wishes)
        yield from self._new(notices)
        try:
            yield from self._checked(request, token)
        except InvalidRequestError as error:
            parameter = refused_parameter(error.message, request)
            if parameter is None or self._shown:
                raise
            LEARNED.learn(request.info.name, parameter)
            corrected, notices = fit(self.request, self._wishes)
            yield from self._new(notices)
            yield from self._checked(corrected, token)

    def _new(self, notices: list[Notice]) -> Iterator[Notice]:
        for notice in notices:
            if notice.text not in self._told:
                self._told.add(notice.text)
                yield notice

    def _checked(self, request: Request, token: CancelToken) -> Iterator[SourceItem]:
        """The reply, unless it is an empty one: white space alone is nothing said, and is held back."""
        self.sent = request
        items = self._client.read(request, token)
        blank = ""
        for item in items:
            if isinstance(item, str):
                if item.isspace():
                    blank += item
                    continue
                self._shown = True
                yield blank + item
                # From here on nothing is looked at any more: this is the path of every delta.
                yield from items
                return
            if isinstance(item, ThinkingDelta):
                self._shown = True
            if isinstance(item, Completed):
                yield from self._nothing_said(item, request)
            yield item

    def _nothing_said(self, end: Completed, request: Request) -> Iterator[Notice]:
        """Says why there is no text, or raises for a reply that should not be empty."""
        if end.stop_reason == "max_tokens":
            allowance = f"its whole allowance of {request.max_tokens} tokens"
            text = f"The model used {allowance} for thinking. Give it more max_tokens."
            yield Notice("all_thinking", text, {"max_tokens": request.max_tokens})
        elif end.stop_reason == "end_turn":
            error: AssistantError = ServiceError(
                "The model's answer was empty.",
                hint="Try again, or say it in other words.",
                code="empty_answer",
                model=request.model,
                region=request.region,
                # Once: an answer that stays empty is the model's.
                transient=not self._was_empty,
            )
            self._was_empty = True
            raise error


def profile_chosen(model: str, profile: str) -> Notice:
    text = f"{model} is offered through inference profiles: {profile} is used."
    return Notice("profile_chosen", text, {"model": model, "profile": profile})
