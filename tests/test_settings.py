"""Settings, as they are chosen on the page and as a model takes them."""

from __future__ import annotations

from assistant.catalog import ModelInfo
from assistant_app.settings import fitting, from_settings, to_settings


def test_settings_hold_what_was_chosen_and_nothing_else() -> None:
    chosen = {"model": " m ", "temperature": 0, "top_p": None, "max_tokens": 12.0, "system": "  "}
    assert to_settings(chosen) == {"model": "m", "temperature": 0.0, "max_tokens": 12}
    odd = {
        "model": ["x"],
        "temperature": float("nan"),
        "top_p": True,
        "max_tokens": "many",
        "system": None,
        "effort": 7,
    }
    assert to_settings(odd) == {}
    assert from_settings({"top_p": 0.5}, "default") == ["default", None, 0.5, None, "", None]


def test_what_a_model_does_not_show_is_not_sent() -> None:
    chosen = {"temperature": 0.5, "top_p": 0.9, "effort": "high", "max_tokens": 9}
    none = ModelInfo("m", "m", "P", sampling="none", efforts=("low", "high"))
    assert fitting(chosen, none) == {"effort": "high", "max_tokens": 9}
    assert fitting({"effort": "huge"}, none) == {}
    assert fitting(chosen, ModelInfo("m", "m", "P")) == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 9}
    assert "top_p" not in fitting(chosen, ModelInfo("m", "m", "P", sampling="one"))
    assert fitting(chosen, None) == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 9}


def test_a_conversation_whose_settings_are_none_can_be_shown() -> None:
    odd = {"temperature": "hot", "model": 7, "system": ["x"], "max_tokens": {}}
    assert from_settings(odd, "m") == ["m", None, None, None, "", None]
