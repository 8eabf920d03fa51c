"""The memory's panel: its gauges."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from assistant.chats import Chats
from assistant.holdings import MemoryItem, MemoryView
from assistant_app import memory_panel
from assistant_app.identity import owner_of
from assistant_app.memory_panel import MemoryPanel

from . import echoing, listeners
from .browser import ScriptedClient
from .echoing import said
from .listeners import request_of

client, chats = echoing.client, listeners.chats


def test_a_gauge_past_its_limit_is_full() -> None:
    assert 'style="width:100%"' in memory_panel._gauge(30, 10, "en")
    assert 'style="width:50%"' in memory_panel._gauge(5, 10, "en")
    assert memory_panel._gauge(5, 0, "en")


def test_a_summary_that_failed_is_said_while_it_is_missing() -> None:
    turn = MemoryItem("x", "H: hola", 300)
    seen = MemoryView("", 0, [turn], [], 300, 200, "it ended with <refusal>")
    drawn = memory_panel.drawn(seen, "es")
    assert "aún no se pudieron resumir" in drawn
    assert "<pre>it ended with &lt;refusal&gt;</pre></details>" in drawn
    for fine in (replace(seen, problem=None), replace(seen, tokens=100)):
        assert "resumir" not in memory_panel.drawn(fine, "es")


def test_what_memory_does_not_take_is_said_in_the_reader_s_language(chats: Chats, client: ScriptedClient) -> None:
    panel, request = MemoryPanel(chats), request_of(language="es")
    *_, told = asyncio.run(panel.save(chats.create(owner_of(request)).id, "x", 300, request))
    assert told.startswith("**En esta conversación aún no se ha dicho nada.** Escribe antes un mensaje.\n\n<details>")
    id = said(chats, owner_of(request), "hola")
    *_, told = asyncio.run(panel.save(id, "", 0, request))
    assert told.startswith("**«Límite» no puede ser 0.** Elige un valor de 1 en adelante, o deja el campo vacío.\n\n<")
    *_, told = asyncio.run(panel.save(id, "palabra " * 900, 200, request))
    assert "El resumen tiene " in told.partition("<details>")[0]
    assert "el límite es 200.** Acórtalo, o sube antes el límite." in told
