"""Prices from genai-prices, a library that follows them month by month, where it is installed and has been loaded.

Loading takes half a second, which nobody should wait for at the end of an answer: `BedrockClient.warm()` does it, and
the page does that in the background. Until then, and for models that it does not know, the dated prices in models.toml
hold.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .messages import Usage

_calculate: Callable[[str, Usage], Any] | None = None


def load() -> bool:
    """Loads the library; False where it is not installed. Blocks for about half a second the first time."""
    global _calculate
    if _calculate is None:
        try:
            import genai_prices
        except ModuleNotFoundError:
            return False

        def calculate(model: str, usage: Usage) -> Any:
            counted = genai_prices.Usage(
                # The library's input tokens include the cached ones.
                input_tokens=usage.total_input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cache_read_tokens,
                cache_write_tokens=usage.cache_write_tokens,
            )
            return genai_prices.calc_price(counted, model, provider_id="aws")

        # It reads its tables at the first price.
        with suppress(LookupError):
            calculate("amazon.nova-lite-v1:0", Usage(1, 1))
        _calculate = calculate
    return True


def library_cost(model: str, usage: Usage) -> float | None:
    """USD for one reply of a Bedrock model id; None where the library is not loaded or does not know the model."""
    if _calculate is None:
        return None
    try:
        return float(_calculate(model, usage).total_price)
    except LookupError:
        return None
