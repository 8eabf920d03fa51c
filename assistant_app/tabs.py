"""Tabs: the little that the server knows of each open page, by Gradio's session hash. Nothing in it is kept."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from assistant.runs import Run

# Pages that are remembered; Gradio tells when one closes, so this is for those it missed.
_CAPACITY = 10_000


@dataclass(slots=True)
class Tab:
    """`conversation` is the one it shows. `run`: what it watches. `starting`: a turn is on its way into the store.
    `stopping`: Stop was pressed before there was a run. `window`: how many turns more than usual the page shows,
    because somebody asked for them. `hidden`: how many come before those; None where it is not known. `panels` are
    those that stand open, and are drawn anew after a turn. `search`: what the side bar was asked for. `zone`: the
    browser's time zone, in JavaScript's minutes behind UTC.
    """

    conversation: str = ""
    run: Run | None = None
    starting: bool = False
    stopping: bool = False
    gone: bool = False
    window: int = 0
    hidden: int | None = None
    search: str = ""
    zone: str = ""
    panels: set[str] = field(default_factory=set)

    @property
    def busy(self) -> bool:
        return self.run is not None or self.starting


class Tabs:
    def __init__(self) -> None:
        self._tabs: OrderedDict[str, Tab] = OrderedDict()

    def of(self, session: str | None) -> Tab:
        """The tab of a session; a new one where it is not known. All calls come from the event loop."""
        if not session:
            return Tab()
        tab = self._tabs.get(session)
        if tab is None:
            tab = self._tabs[session] = Tab()
            if len(self._tabs) > _CAPACITY:
                self._tabs.popitem(last=False)
        self._tabs.move_to_end(session)
        return tab

    def close(self, session: str | None) -> None:
        """The page is gone: whoever draws for it stops watching at the next look."""
        tab = self._tabs.pop(session or "", None)
        if tab is not None:
            tab.gone = True

    def __len__(self) -> int:
        return len(self._tabs)
