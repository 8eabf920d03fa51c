"""Token estimates: offline, per script and kind of text, corrected by what each model's replies report.

The rates lie between two tokenizers, that of SmolLM2 and the one Anthropic published for Claude 2. On texts they were
not made from, Spanish and English prose, code and both mixed, a text is off by 3 to 12 % in the median before a model
has reported anything. After three replies a whole request is off by 1 % in the median and by 5 % at most, also where
the newest text is of another kind than all before it; that text by itself is off by 5 to 8 % in the median then and by
23 % at most. `benchmarks/tokens.py` measures it. A ratio for each kind of text (words, letters with accents, signs,
digits) was tried with ten tokenizers: no better than one, since what is left is of single texts, not of kinds.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from .documents import Document
from .errors import InvalidRequestError
from .messages import Message

# Roles and separators around one message, as chat templates have them.
MESSAGE_TOKENS = 4

# What models read of one image at most (Claude: width times height / 750, scaled down to 1,568 on the long side).
_IMAGE_TOKENS = 1_600
# A page of a PDF or an office file costs 1,500 to 3,000 tokens and has some 50 KB.
_BYTES_PER_TOKEN = 30

# Tokens a piece costs. Words of up to four letters are one token nearly always, longer ones are cut. Accents, the short
# words of other languages and long words in -a and -o tell that a text is not English, whose words alone tokenizers
# know whole. In code a word begins at a capital, and one that follows a sign has no space before it, which costs.
_WORD = 0.98
_LONG_LETTER = 0.113
_ACCENT = 1.73
_NOT_ENGLISH = 0.57
_ROMANCE = 1.34
_PUNCTUATION = 0.526
_AFTER_SIGN = 0.436
_HUMP = 0.875
_CAPITALS = 0.2
_DIGIT = 0.767
_INDENT = 1.315
_TAB = 0.52
# Four equal signs in a row, as in rules and tables, are one token or part of one; so are eight in a longer row.
_RULE = -1.0
_RULE_SIGNS = b"-=*#._~^/+"

_INDENTS = re.compile(rb"\n\s*|  +")
_LITTLE_WORDS = frozenset(b"de la que el en los y se le et der und do e".split())
_ENDINGS = (b"a ", b"o ", b"as ", b"os ")
_RULES = tuple(bytes([sign]) * 4 for sign in _RULE_SIGNS)
_LONG_RULES = tuple((bytes([sign]) * 8, bytes([sign])) for sign in _RULE_SIGNS)

# bytes.translate in Latin-1 goes over a text at a gigabyte a second, which no regular expression does.
_ACCENTS = bytes(byte for byte in range(0xC0, 0x100) if byte not in (0xD7, 0xF7))
_LETTERS = bytes(byte for byte in range(128) if chr(byte).isalpha()) + _ACCENTS
_TO_WORDS = bytes(byte if byte in _LETTERS else 32 for byte in range(256))


def _kind(byte: int) -> int:
    """A letter for each kind of character: a, A, e with an accent, 0, a tab, white space, a sign."""
    if byte in _ACCENTS:
        return ord("e")
    if byte in _LETTERS:
        return ord("A") if chr(byte).isupper() else ord("a")
    if byte in b"0123456789\t":
        return 9 if byte == 9 else ord("0")
    return ord(" ") if byte <= 32 or 0x7F <= byte <= 0xA0 else ord(".")


_TO_KINDS = bytes(map(_kind, range(256)))

# What Latin-1 does not have: the tokens of a character, by script. The first row that has it counts.
_OTHER = re.compile(r"[^\x00-\xff]+")
_SCRIPTS = (
    (re.compile(r"[\u0100-\u024f\u1e00-\u1eff]"), 1.3),  # Latin with further accents
    (re.compile(r"[\u0400-\u052f]"), 0.73),  # Cyrillic
    (re.compile(r"[\u0370-\u03ff\u0530-\u06ff\u0750-\u077f]"), 1.1),  # Greek, Armenian, Hebrew, Arabic
    (re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]"), 1.35),  # Chinese, Japanese, Korean
    (re.compile(r"[\u2010-\u2027\u2030-\u205e\u3000-\u303f]"), 1.0),  # typographic punctuation
    (re.compile(r"[\u2500-\u259f]"), 0.3),  # lines and boxes, many at once
    (re.compile(r"[\u0900-\u0dff]"), 1.35),  # the scripts of India
    (re.compile(r""), 1.9),  # Thai and its neighbours, symbols, emoji
)


def estimate_tokens(text: str, model: str | None = None) -> int:
    """About how many tokens `text` has; with `model`, by what that model's replies have reported in this process.

    Takes time in proportion to the length, 40 to 90 µs for 1,000 characters.
    """
    return ESTIMATOR.estimate(text, model)


def estimate_request(messages: Iterable[Message], system: str | None = None, model: str | None = None) -> int:
    """About how many input tokens a request has. Its result without `model` is what `calibrate` wants."""
    tokens = estimate_tokens(system or "")
    for message in messages:
        tokens += estimate_tokens(message.text) + MESSAGE_TOKENS
        tokens += sum(map(document_tokens, message.documents))
    return round(tokens * ESTIMATOR.ratio(model))


# By id, which follows from the content: a document goes out with every turn, and is not kept alive by this.
_DOCUMENTS: dict[str, int] = {}


def document_tokens(document: Document) -> int:
    """About what a document costs in a request: its text, or a guess from the size where it has none (a scan).

    The text of a PDF or an office file is taken out of it the first time, which may take seconds. A model that looks at
    the pages of a PDF too reads more than this.
    """
    if document.is_image:
        return _IMAGE_TOKENS
    counted = _DOCUMENTS.get(document.id)
    if counted is None:
        if len(_DOCUMENTS) > 1000:
            _DOCUMENTS.clear()
        counted = _DOCUMENTS[document.id] = _counted(document)
    return counted


def _counted(document: Document) -> int:
    try:
        return estimate_tokens(document.text)
    except InvalidRequestError:
        return max(_IMAGE_TOKENS, len(document.data) // _BYTES_PER_TOKEN)


def calibrate(model: str, estimated: int, reported: int) -> None:
    """Tells what a model reported for a request that was estimated without its ratio. See TokenEstimator.calibrate."""
    ESTIMATOR.calibrate(model, estimated, reported)


def ratio(model: str | None) -> float:
    """Tokens of this model for one of ours; 1.0 where nothing is known yet."""
    return ESTIMATOR.ratio(model)


class TokenEstimator:
    """Estimates, and one ratio a model. Safe under threads; `ESTIMATOR` is the one of this process."""

    # Before a model has reported anything it is taken to agree with us, for a text of this many tokens.
    PRIOR = 100.0
    # What older replies weigh beside a new one: the language or the kind of text may have changed.
    MEMORY = 0.7
    # Beyond this a report is about something else: a cache, a picture, a test's made-up number.
    PLAUSIBLE = 3.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[str, tuple[float, float]] = {}

    def estimate(self, text: str, model: str | None = None) -> int:
        if not text:
            return 0
        return max(1, round(_pieces(text) * self.ratio(model)))

    def ratio(self, model: str | None) -> float:
        sums = self._sums.get(model) if model is not None else None
        return 1.0 if sums is None else sums[1] / sums[0]

    def calibrate(self, model: str, estimated: int, reported: int) -> None:
        """Corrects the ratio of `model`: `estimated` tokens, without a ratio, were `reported` in truth.

        Leave out requests with images or files, whose cost is a guess. A report that is more than three times off is
        ignored. Requests weigh by their size, and a newer one more.
        """
        if estimated <= 0 or not estimated / self.PLAUSIBLE <= reported <= estimated * self.PLAUSIBLE:
            return
        with self._lock:
            ours, theirs = self._sums.get(model, (self.PRIOR, self.PRIOR))
            self._sums[model] = (ours * self.MEMORY + estimated, theirs * self.MEMORY + reported)

    def forget(self, model: str | None = None) -> None:
        """Forgets what `model` reported (None: all models)."""
        with self._lock:
            if model is None:
                self._sums.clear()
            else:
                self._sums.pop(model, None)


def _pieces(text: str) -> float:
    tokens = 0.0
    try:
        latin = text.encode("latin-1")
    except UnicodeEncodeError:
        tokens = sum(count * _rate(character) for character, count in Counter("".join(_OTHER.findall(text))).items())
        # White space in their place, which costs nothing by itself.
        latin = _OTHER.sub("\x7f", text).encode("latin-1")
    return tokens + _words(latin.translate(_TO_WORDS)) + _signs(latin)


def _words(letters: bytes) -> float:
    words = letters.split()
    long = [word for word in words if len(word) > 4]
    joined = b" ".join([*long, b""])
    return (
        len(words) * _WORD
        # Each has a space behind it.
        + (len(joined) - 5 * len(long)) * _LONG_LETTER
        + sum(map(joined.count, _ENDINGS)) * _ROMANCE
        + sum(map(_LITTLE_WORDS.__contains__, words)) * _NOT_ENGLISH
    )


def _signs(latin: bytes) -> float:
    kinds = latin.translate(_TO_KINDS)
    if b"." * 8 in kinds:
        for row, sign in _LONG_RULES:
            latin = latin.replace(row, sign)
        kinds = latin.translate(_TO_KINDS)
    count = kinds.count
    return (
        count(b"e") * _ACCENT
        + count(b".") * _PUNCTUATION
        + (count(b".a") + count(b".A")) * _AFTER_SIGN
        + count(b"aA") * _HUMP
        + count(b"AA") * _CAPITALS
        + count(b"0") * _DIGIT
        + count(b"\t") * _TAB
        + len(_INDENTS.findall(latin)) * _INDENT
        + sum(map(latin.count, _RULES)) * _RULE
    )


@lru_cache(maxsize=8192)
def _rate(character: str) -> float:
    return next(rate for script, rate in _SCRIPTS if script.match(character))


ESTIMATOR = TokenEstimator()
