"""Token estimates, beside the embedded model's own tokenizer."""

from __future__ import annotations

import threading

import pytest

from assistant.clients.base import ChatClient
from assistant.documents import Document
from assistant.messages import Message
from assistant.tokens import (
    ESTIMATOR,
    MESSAGE_TOKENS,
    TokenEstimator,
    calibrate,
    document_tokens,
    estimate_request,
    estimate_tokens,
    ratio,
)

from .files import PNG, docx_of, pdf_of

SPANISH = [
    "Hola, estoy preparando un viaje a Portugal con mi familia para la segunda semana de septiembre y no sé por dónde "
    "empezar. Somos cuatro personas, dos de ellas niñas de siete y diez años, y preferimos el tren al coche.",
    "La memoria de un asistente no es una grabación: guarda lo reciente palabra por palabra y resume lo demás. Cuando "
    "la conversación se alarga, lo que importa son los nombres, las fechas, las decisiones y las preguntas abiertas.",
    "El ayuntamiento aprobó ayer un presupuesto que dedica más dinero a las bibliotecas y a los parques, después de "
    "tres meses de discusiones. La oposición votó en contra porque, según dijo su portavoz, faltan viviendas.",
    "Para hacer la tortilla se pelan las patatas, se cortan en láminas finas y se fríen despacio en aceite de oliva. "
    "Luego se mezclan con los huevos batidos y se deja reposar la mezcla unos minutos antes de cuajarla.",
]
ENGLISH = [
    "Hello, I am planning a trip to Portugal with my family for the second week of September and I do not know where "
    "to start. There are four of us, two of them girls of seven and ten, and we would rather take the train.",
    "The memory of an assistant is not a recording: it keeps what is recent word for word and summarises the rest. As "
    "the conversation grows, what matters are names, dates, decisions and the questions that are still open.",
    "Yesterday the city council passed a budget that gives more money to libraries and parks, after three months of "
    "debate. The opposition voted against it because, its speaker said, there are not enough homes.",
    "To make the omelette you peel the potatoes, cut them into thin slices and fry them slowly in olive oil. Then you "
    "mix them with the beaten eggs and let the mixture rest for a few minutes before you set it in the pan.",
]
CODE = [
    "def read_rows(path: str) -> list[dict[str, str]]:\n    with open(path, newline='') as file:\n"
    "        reader = csv.DictReader(file)\n        return [row for row in reader if row['status'] != 'deleted']\n",
    "class Queue:\n    def __init__(self, maxsize=0):\n        self.maxsize = maxsize\n        self._init(maxsize)\n"
    "        self.mutex = threading.Lock()\n        self.not_empty = threading.Condition(self.mutex)\n",
    "for name, value in sorted(settings.items()):\n    if value is None:\n        continue\n"
    "    print(f'{name} = {value!r}', file=output)\nraise ValueError('unknown setting: ' + name)\n",
    "async function load(url) {\n  const response = await fetch(url, { headers });\n  if (!response.ok) {\n"
    "    throw new Error(`Request failed: ${response.status}`);\n  }\n  return response.json();\n}\n",
]
MIXED = [
    f"{SPANISH[0]}\n\n```python\n{CODE[0]}```",
    f"{ENGLISH[1]} {SPANISH[1]}",
    f"{CODE[2]}\n{ENGLISH[2]}",
    SPANISH[3] + CODE[3],
]


@pytest.fixture(scope="module")
def embedded() -> ChatClient:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("assistant.clients.local")
    from assistant.clients.local import LocalClient
    from assistant.errors import LocalModelError

    try:
        client = LocalClient()
        client.count_tokens("Hola")
    except LocalModelError as error:
        pytest.skip(f"the embedded model is not there: {error.message}")
    return client


@pytest.mark.parametrize(
    "texts",
    [SPANISH, ENGLISH, CODE, MIXED, [*SPANISH[:3], CODE[3]], [*CODE[:3], ENGLISH[3]]],
    ids=["Spanish", "English", "code", "mixed", "code after Spanish", "English after code"],
)
def test_after_three_turns_estimates_are_within_10_percent_of_the_models_own_count(
    texts: list[str], embedded: ChatClient
) -> None:
    """Each request holds what was said before it, as in a chat."""
    estimator = TokenEstimator()
    messages: list[Message] = []
    for turn in range(3):
        messages.append(Message("user", texts[turn]))
        reported = embedded.count_tokens(messages)
        assert reported.exact
        estimator.calibrate("m", estimate_request(messages), reported.tokens)
        messages.append(Message("assistant", texts[turn]))
    messages.append(Message("user", texts[3]))
    estimated = estimate_request(messages) * estimator.ratio("m")
    assert estimated == pytest.approx(embedded.count_tokens(messages).tokens, rel=0.1)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("", 0, 0),
        ("a", 1, 1),
        ("Hello", 1, 2),
        (ENGLISH[0], 36, 54),
        (SPANISH[0], 48, 75),
        (CODE[0], 45, 75),
        ("2024-05-17 13:45:22", 10, 25),
        ("人工智能助手可以记住三个小时之前的对话内容。", 20, 36),
        ("アシスタントは会話の要約を作成します。", 18, 36),
        ("안녕하세요, 저는 회의 일정을 잡고 싶습니다.", 18, 45),
        ("Здравствуйте, я хотел бы назначить встречу", 18, 36),
        ("مرحبا، أود أن أحدد موعدا يوم الجمعة", 25, 45),
        ("สวัสดีครับ ผมอยากนัดประชุม", 35, 60),
        ("😀🎉🚀", 4, 6),
        ("internationalization", 3, 5),
        ("\ud800 alone", 1, 5),
        (" \n\n\t ", 1, 3),
    ],
)
def test_every_script_has_its_own_rate(text: str, low: int, high: int) -> None:
    assert low <= estimate_tokens(text) <= high


def test_letters_with_accents_and_words_of_other_languages_cost_more() -> None:
    assert (
        estimate_tokens("La canción según él también está ahí")
        > estimate_tokens("La cancion segun el tambien esta ahi") + 5
    )
    assert (
        estimate_tokens("la casa de la abuela que vive en el pueblo")
        > estimate_tokens("a house of a granny who live at a hamlet") + 5
    )


@pytest.mark.parametrize(
    ("dear", "cheap", "least"),
    [
        ("HAVE PTHREAD KILL", "have pthread kill", 1),
        ("readAllRowsFromPath", "readallrowsfrompath", 3),
        ("f(x,y,z,w,a,b,c)", "f(x, y, z, w, a, b, c)", 2),
        ("\n\t\t\treturn" * 4, "\n      return" * 4, 5),
    ],
    ids=["capitals", "humps", "no space", "tabs"],
)
def test_what_only_code_has_costs_more(dear: str, cheap: str, least: int) -> None:
    assert estimate_tokens(dear) >= estimate_tokens(cheap) + least


@pytest.mark.parametrize(
    ("rule", "most"),
    [("-" * 80, 7), ("=" * 80, 7), ("/*" + "*" * 78, 8), ("^" * 60, 10), ("─" * 80, 26), ("█" * 80, 26)],
    ids=["minus", "equals", "box", "hats", "line", "block"],
)
def test_a_rule_costs_little(rule: str, most: int) -> None:
    assert estimate_tokens(rule) <= most


def test_a_text_costs_what_its_parts_cost() -> None:
    for texts in (SPANISH, ENGLISH, CODE):
        whole = estimate_tokens("\n".join(texts * 50))
        assert whole == pytest.approx(50 * sum(map(estimate_tokens, texts)), rel=0.05)


def test_what_a_model_reports_corrects_its_own_ratio_alone() -> None:
    assert ratio("m") == ratio(None) == 1.0
    for _ in range(3):
        calibrate("m", 1000, 1300)
    assert ratio("m") == pytest.approx(1.3, rel=0.02)
    assert ratio("other") == 1.0
    assert estimate_tokens(SPANISH[0], "m") == pytest.approx(1.3 * estimate_tokens(SPANISH[0]), rel=0.05)
    ESTIMATOR.forget("m")
    assert ratio("m") == 1.0


def test_a_short_request_says_little_and_a_newer_one_more() -> None:
    estimator = TokenEstimator()
    estimator.calibrate("m", 5, 15)
    assert estimator.ratio("m") < 1.2
    for _ in range(5):
        estimator.calibrate("m", 1000, 1000)
    for _ in range(4):
        estimator.calibrate("m", 1000, 1500)
    assert estimator.ratio("m") > 1.33


@pytest.mark.parametrize(("estimated", "reported"), [(1000, 0), (1000, 200), (1000, 5000), (0, 100), (-1, 5)])
def test_a_report_that_can_not_be_about_the_text_is_ignored(estimated: int, reported: int) -> None:
    calibrate("m", estimated, reported)
    assert ratio("m") == 1.0


def test_reports_from_many_threads_are_all_counted() -> None:
    estimator = TokenEstimator()
    threads = [
        threading.Thread(target=lambda: [estimator.calibrate("m", 100, 150) for _ in range(500)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert estimator.ratio("m") == pytest.approx(1.5)


def test_a_request_counts_system_messages_and_documents() -> None:
    document = Document.from_text(SPANISH[0])
    picture = Document("a.png", "png", PNG)
    messages = [Message("user", ENGLISH[0], (document,)), Message("assistant", ENGLISH[1])]
    expected = sum(map(estimate_tokens, (CODE[0], SPANISH[0], ENGLISH[0], ENGLISH[1]))) + 2 * MESSAGE_TOKENS
    assert estimate_request(messages, CODE[0]) == expected
    assert document_tokens(picture) == 1600


def test_a_file_costs_its_text_and_one_without_a_text_what_its_size_suggests() -> None:
    text = " ".join(ENGLISH)
    assert document_tokens(Document("a.pdf", "pdf", pdf_of(text))) == pytest.approx(estimate_tokens(text), rel=0.02)
    docx_text = Document("a.docx", "docx", docx_of(*ENGLISH)).text
    assert document_tokens(Document("a.docx", "docx", docx_of(*ENGLISH))) == estimate_tokens(docx_text)
    assert document_tokens(Document("scan.pdf", "pdf", b"%PDF".ljust(600_000))) == 20_000
