"""The accordion's listeners: fields that follow the model, the list of models, presets, the user's defaults."""

from __future__ import annotations

import asyncio
import html
import logging
from typing import Any

import gradio as gr

from assistant.chats import Chats

from . import words
from .drawing import explained
from .header import Header
from .identity import owner_of
from .settings import NAMES, from_settings, taken, to_settings

logger = logging.getLogger("assistant")

# The presets that belong to the assistant: the three tasks. Their ids are no ids of the store's.
_TASKS = "task:"
_TASK_SETTINGS: dict[str, dict[str, Any]] = {"code": {}, "summary": {}, "invoice": {"temperature": 0.0}}


class Controls:
    """None of them raises."""

    def __init__(self, chats: Chats, header: Header) -> None:
        self.chats = chats
        self.header = header

    # -- the model -------------------------------------------------------------------------------------------

    async def fit(self, model: str | None, request: gr.Request) -> list[Any]:
        """The header, what is said of the model, and its fields: temperature, top_p, max tokens, effort."""
        language = words.reader(request)
        name = model if isinstance(model, str) else ""
        try:
            return [self.header.html(name, language), self.told(name, language), *self.fields(name, language)]
        except Exception:
            logger.exception("app.fit_failed")
            return [gr.skip()] * 6

    def told(self, model: str, language: str, **more: Any) -> Any:
        """An update of the list of models: a name that is not in it may be one that was only begun."""
        known = self.header.knows(model)
        info = words.say("settings.model.info" if known else "settings.model.other", language, model=model)
        return gr.Dropdown(info=info, **more)

    def fields(self, model: str, language: str) -> list[Any]:
        """Updates that show what the model takes. Values stay: they come back with a model that takes them."""
        info = self.header.info(model)
        shown = taken(info)
        limit = info.max_output if info is not None else None
        longest = (
            words.say("settings.max_tokens.upto", language, limit=f"{limit:,}".replace(",", "\u202f"))
            if limit
            else words.say("settings.max_tokens.info", language)
        )
        efforts = [("", ""), *((each, each) for each in (info.efforts if info is not None else ()))]
        return [
            gr.Number(visible=shown["temperature"]),
            gr.Number(visible=shown["top_p"]),
            gr.Number(info=longest),
            gr.Dropdown(choices=efforts, visible=shown["effort"]),
        ]

    async def models(self, model: str | None, request: gr.Request) -> list[Any]:
        """The list once it is there (the page is used meanwhile), and what follows from it."""
        name = model if isinstance(model, str) else ""
        try:
            choices = await self.header.choices(chosen=name)
            header, _, *fields = await self.fit(model, request)
            return [header, self.told(name, words.reader(request), choices=choices), *fields]
        except Exception:
            logger.exception("app.models_failed")
            return [gr.skip()] * 6

    async def refresh(self, model: str | None, request: gr.Request) -> list[Any]:
        """The list, asked for anew: what an account may use changes. Returns as `models`, and a word."""
        said = ""
        try:
            count = await asyncio.to_thread(self.header.refresh)
            said = words.say("settings.refreshed", words.reader(request), count=count)
        except Exception as error:
            said = explained(error, words.reader(request))
        return [*await self.models(model, request), said]

    # -- presets ---------------------------------------------------------------------------------------------

    async def presets(self, request: gr.Request) -> Any:
        """The choices, the tasks first."""
        try:
            return gr.Dropdown(choices=await self._choices(owner_of(request), words.reader(request)))
        except Exception as error:
            explained(error, "en")
            return gr.Dropdown(choices=self._tasks(words.reader(request)))

    async def pick(self, preset: str | None, model: str | None, request: gr.Request) -> list[Any]:
        """The accordion's values as a preset has them, and a word. A preset without a model keeps the chosen one."""
        language = words.reader(request)
        nothing: list[Any] = [gr.skip()] * len(NAMES)
        try:
            settings = await asyncio.to_thread(self._settings, owner_of(request), str(preset or ""), language)
        except Exception as error:
            return [*nothing, explained(error, language)]
        return [*nothing, ""] if settings is None else [*from_settings(settings, str(model or "")), ""]

    async def save(
        self,
        name: str | None,
        model: Any,
        temperature: Any,
        top_p: Any,
        max_tokens: Any,
        system: Any,
        effort: Any,
        request: gr.Request,
    ) -> list[Any]:
        """Keeps what is set under a name. Returns the choices, the name's field, and a word."""
        chosen = (model, temperature, top_p, max_tokens, system, effort)
        language, owner = words.reader(request), owner_of(request)
        title = " ".join(str(name or "").split())[:100]
        if not title:
            return [gr.skip(), gr.skip(), words.say("preset.unnamed", language)]
        try:
            settings = to_settings(dict(zip(NAMES, chosen, strict=True)))
            saved = await asyncio.to_thread(self.chats.save_preset, owner, title, settings)
            choices = await self._choices(owner, language)
        except Exception as error:
            return [gr.skip(), gr.skip(), explained(error, language)]
        said = words.say("preset.saved", language, name=html.escape(title))
        return [gr.Dropdown(choices=choices, value=saved.id), "", said]

    async def delete(self, preset: str | None, request: gr.Request) -> list[Any]:
        """Returns the choices and a word."""
        language, owner = words.reader(request), owner_of(request)
        if not preset:
            return [gr.skip(), words.say("preset.pick", language)]
        if str(preset).startswith(_TASKS):
            return [gr.skip(), words.say("preset.built_in", language)]
        try:
            await asyncio.to_thread(self.chats.delete_preset, owner, str(preset))
            choices = await self._choices(owner, language)
        except Exception as error:
            return [gr.skip(), explained(error, language)]
        return [gr.Dropdown(choices=choices, value=None), words.say("preset.deleted", language)]

    async def keep(
        self,
        model: Any,
        temperature: Any,
        top_p: Any,
        max_tokens: Any,
        system: Any,
        effort: Any,
        request: gr.Request,
    ) -> str:
        """What is set becomes what new conversations begin with."""
        chosen = (model, temperature, top_p, max_tokens, system, effort)
        language = words.reader(request)
        try:
            settings = to_settings(dict(zip(NAMES, chosen, strict=True)))
            await asyncio.to_thread(self.chats.set_preferences, owner_of(request), settings)
        except Exception as error:
            return explained(error, language)
        return words.say("settings.default.done", language)

    async def _choices(self, owner: str, language: str) -> list[tuple[str, str]]:
        own = await asyncio.to_thread(self.chats.presets, owner)
        return [*self._tasks(language), *((each.name, each.id) for each in own)]

    def _tasks(self, language: str) -> list[tuple[str, str]]:
        return [(words.say(f"preset.{name}", language), f"{_TASKS}{name}") for name in words.EXAMPLES]

    def _settings(self, owner: str, preset: str, language: str) -> dict[str, Any] | None:
        name = preset.removeprefix(_TASKS)
        if preset.startswith(_TASKS) and name in _TASK_SETTINGS:
            return {**_TASK_SETTINGS[name], "system": words.say(f"preset.{name}.text", language)}
        found = next((each for each in self.chats.presets(owner) if each.id == preset), None)
        return None if found is None else dict(found.settings)
