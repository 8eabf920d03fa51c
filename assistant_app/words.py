"""Every word a person reads on the page, in English and Spanish, in one table.

The browser translates what stands still (`i18n()`, by its own language); what Python says while it runs is chosen by
the request's Accept-Language (`language_of`, `say`). A test sees to it that both columns are complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from . import error_words, phrases

LANGUAGES = ("en", "es")

# key: (English, Spanish). `{name}` is filled in by `say`.
TABLE: dict[str, tuple[str, str]] = {
    "app.title": ("Assistant", "Asistente"),
    "app.new": ("New chat", "Nuevo chat"),
    "app.greeting": ("What can I do for you?", "¿En qué te puedo ayudar?"),
    "chat.label": ("Conversation", "Conversación"),
    "chat.placeholder": ("Write a message…", "Escribe un mensaje…"),
    "chat.textbox": ("Message", "Mensaje"),
    "chat.send": ("Send", "Enviar"),
    "chat.stop": ("Stop", "Detener"),
    "chat.yours": ("Your message", "Tu mensaje"),
    "chat.answer": ("Answer", "Respuesta"),
    "chat.copy_code": ("Copy the code", "Copiar el código"),
    "chat.failed": (
        "**Something went wrong on the way.** What was said is kept: load the page again.",
        "**Algo salió mal por el camino.** Lo dicho está guardado: vuelve a cargar la página.",
    ),
    "chat.continue": ("Continue the answer", "Continuar la respuesta"),
    "chat.earlier": (
        "*{turns} earlier messages are not shown.* [Show earlier ones](#earlier)",
        "*Hay {turns} mensajes anteriores que no se muestran.* [Mostrar anteriores](#earlier)",
    ),
    "chat.down": ("To the end", "Ir al final"),
    "chat.lost": (
        "The server does not answer. As soon as it does, this page is loaded again; what you typed is kept.",
        "El servidor no responde. En cuanto responda, la página se recarga; lo que escribiste se conserva.",
    ),
    "chat.waiting": ("Waiting for the model", "Esperando al modelo"),
    "chat.details": ("Details", "Detalles"),
    "settings.label": ("Model and settings", "Modelo y ajustes"),
    "settings.model": ("Model", "Modelo"),
    "settings.model.info": (
        "From the list, or any id: an inference profile, an ARN…",
        "De la lista, o cualquier id: un perfil de inferencia, un ARN…",
    ),
    "settings.model.other": (
        "“{model}” is not in the list; it is asked for as it stands.",
        "«{model}» no está en la lista; se pide tal cual.",
    ),
    "settings.temperature": ("Temperature", "Temperatura"),
    "settings.temperature.info": (
        "0 is the most predictable; empty: the model's own.",
        "0 es lo más predecible; vacío: la del modelo.",
    ),
    "settings.top_p": ("Top-p", "Top-p"),
    "settings.top_p.info": (
        "Share of the likeliest words, 0 to 1; empty: the model's own.",
        "Parte de las palabras más probables, de 0 a 1; vacío: la del modelo.",
    ),
    "settings.max_tokens": ("Max tokens", "Máximo de tokens"),
    "settings.max_tokens.info": (
        "Longest answer, in tokens; empty: the usual one.",
        "Respuesta más larga, en tokens; vacío: el habitual.",
    ),
    "settings.own": ("the model's own", "el del modelo"),
    "settings.system": ("System prompt", "Instrucciones del sistema"),
    "settings.system.info": (
        "What the assistant should always keep in mind, in your own words.",
        "Lo que el asistente debe tener siempre en cuenta, con tus palabras.",
    ),
    # Gradio's own words that it leaves untranslated in Spanish, or that say too little.
    "chatbot.retry": ("Try again", "Reintentar"),
    "chatbot.undo": ("Undo", "Deshacer"),
    "chatbot.edit": ("Edit", "Editar"),
    "chatbot.copy_message": ("Copy message", "Copiar mensaje"),
    "chatbot.submit": ("Submit", "Enviar"),
    "chatbot.cancel": ("Cancel", "Cancelar"),
    "chatbot.copied_message": ("Copied", "Copiado"),
    # Who answers, and why.
    "status.bedrock": ("Amazon Bedrock", "Amazon Bedrock"),
    "status.local": ("Local model", "Modelo local"),
    "status.embedded": ("Embedded model", "Modelo integrado"),
    "status.small": (
        "It is very small and only for trying things out: expect mistakes.",
        "Es muy pequeño y solo sirve para hacer pruebas: se equivoca a menudo.",
    ),
    "status.why": ("Why", "Por qué"),
    "reason.no_credentials": (
        "no AWS credentials were found, so nothing leaves this computer",
        "no se encontraron credenciales de AWS, así que nada sale de este equipo",
    ),
    "reason.no_region": (
        "there are AWS credentials, but no AWS region is set (AWS_REGION)",
        "hay credenciales de AWS, pero no se ha indicado una región (AWS_REGION)",
    ),
    "reason.aws_found": (
        "AWS credentials were found: {source}, region {region}",
        "se encontraron credenciales de AWS: {source}, región {region}",
    ),
    "reason.chain": ("the AWS chain", "la cadena de AWS"),
    "reason.asked_for": ("it was asked for at the start", "se pidió así al arrancar"),
    # While a reply is on its way.
    "wait.retrying": (
        "{reason} Trying again in {seconds} s",
        "{reason} Se intenta de nuevo en {seconds} s",
    ),
    "notice.reading_prompt": ("Reading, about {seconds} s", "Leyendo, unos {seconds} s"),
    "notice.waiting_for_turn": (
        "{running} other conversations are being answered; this one waits for its turn",
        "Se están respondiendo otras {running} conversaciones; esta espera su turno",
    ),
    "notice.parameter_left_out": (
        "“{parameter}” was left out: {model} does not take it.",
        "Se omitió «{parameter}»: {model} no lo admite.",
    ),
    "notice.not_exported": (
        "Left out of the imported file: {names}. Attach again what you want to ask about.",
        "Sin incluir en el archivo importado: {names}. Adjunta otra vez lo que quieras consultar.",
    ),
    "notice.profile_unknown": (
        "Which model stands behind {model} can't be looked up: careful values are used.",
        "No se puede averiguar qué modelo hay detrás de {model}: se usan valores prudentes.",
    ),
    "notice.profile_chosen": (
        "{model} is offered through inference profiles: {profile} is used.",
        "{model} se ofrece mediante perfiles de inferencia: se usa {profile}.",
    ),
    "notice.all_thinking": (
        "The model used its whole allowance of {max_tokens} tokens for thinking. Raise “Max tokens”.",
        "El modelo gastó sus {max_tokens} tokens en pensar. Sube el «Máximo de tokens».",
    ),
    "notice.oldest_left_out": (
        "Oldest turns left out of this request: {turns}. The model's window is full.",
        "Turnos más antiguos que quedaron fuera de esta petición: {turns}. La ventana del modelo está llena.",
    ),
    "notice.documents_left_out": (
        "Kept documents left out of this request: {names}. The model's window is full.",
        "Documentos guardados que quedaron fuera de esta petición: {names}. La ventana del modelo está llena.",
    ),
    # How a turn ended, where there is something to say about it.
    "end.max_tokens": (
        "The answer reached its longest length. Continue it, or raise “Max tokens”.",
        "La respuesta alcanzó su longitud máxima. Continúala, o sube el «Máximo de tokens».",
    ),
    "end.cancelled": ("Stopped.", "Detenida."),
    "end.interrupted": (
        "The answer was cut off. What arrived is kept: continue it, or try again.",
        "La respuesta se cortó. Lo que llegó se conserva: continúala o reinténtalo.",
    ),
    "end.error": (
        "There was no answer. Look at the details, then try again.",
        "No hubo respuesta. Mira los detalles y reinténtalo.",
    ),
    "end.refusal": ("The model declined to answer.", "El modelo declinó responder."),
    "end.guardrail": (
        "A guardrail of your account stepped in.",
        "Intervino una barrera de protección (guardrail) de tu cuenta.",
    ),
    "end.context_window": (
        "The conversation fills the model's window. Begin a new one, or choose a model with a larger window.",
        "La conversación llena la ventana del modelo. Empieza otra, o elige un modelo con una ventana mayor.",
    ),
    # The three tasks.
    "examples.label": ("Try one of these", "Prueba una de estas"),
    "example.code": ("Write code for a chatbot", "Escribe código para un chatbot"),
    "example.code.text": (
        "I need code that runs a chatbot with Streamlit on localhost.",
        "Necesito un código para levantar un chatbot usando Streamlit en localhost.",
    ),
    "example.summary": ("Summarise a text in five ideas", "Resume un texto en cinco ideas"),
    "example.summary.text": (
        "Help me by summarising the following in 5 ideas:\n\n"
        "Terms of service of Clipbird. You own the videos and texts that you publish. By publishing them you give us a "
        "free, worldwide licence to show, copy and adapt them within the service, which ends when you delete them. We "
        "keep deleted content for 30 days in our backups. You must be 13 years old or older, and under 18 "
        "you need your "
        "parents' consent. We collect your device, your approximate location and what you watch in order to "
        "choose what "
        "we show you and the advertising. We do not sell your data; we share it with providers who work for "
        "us and when "
        "the law demands it. You can download or erase your data at any time in Settings. We may close accounts that "
        "break these rules after a warning. We announce changes to these terms 30 days ahead.",
        "Ayúdame resumiendo en 5 ideas lo siguiente:\n\n"
        "Condiciones de uso de Clipbird. Eres dueño de los videos y textos que publicas. Al publicarlos nos das una "
        "licencia gratuita y mundial para mostrarlos, copiarlos y adaptarlos dentro del servicio, que "
        "termina cuando los "
        "borras. Guardamos el contenido borrado 30 días en nuestras copias de seguridad. Debes tener 13 años o más, y "
        "si tienes menos de 18 necesitas el permiso de tus padres. Recogemos tu dispositivo, tu ubicación "
        "aproximada y lo "
        "que ves para elegir qué mostrarte y la publicidad. No vendemos tus datos; los compartimos con proveedores que "
        "trabajan para nosotros y cuando la ley lo exige. Puedes descargar o borrar tus datos en cualquier momento en "
        "Ajustes. Podemos cerrar las cuentas que incumplan estas reglas después de un aviso. Anunciamos los cambios de "
        "estas condiciones con 30 días de antelación.",
    ),
    "example.summary.followup": ("Do I own my data?", "¿Soy dueño de mis datos?"),
    "example.invoice": (
        "Extract an invoice's data as JSON (1-shot)",
        "Extrae los datos de una factura como JSON (1-shot)",
    ),
    "example.invoice.text": (
        "Extract invoice number, total amount and due date (output as json) from the text enclosed by <invoice> tags. "
        "Here is an example:\n\n"
        "<example>\nAmazon Web Services, Inc. Invoice. Invoice Number: 1484934918. Invoice Date: November 2, 2023. "
        "TOTAL AMOUNT DUE ON November 2, 2023: $0.03\n\n"
        '{\n    "invoice_number": 1484934918,\n    "total_amount": 0.03,\n    "due_date": '
        '"02/11/2023"\n}\n</example>\n\n'
        "<invoice>\nAmazon Web Services, Inc. Invoice. Invoice Number: 1401279274. Invoice Date: August 2, 2023. "
        "TOTAL AMOUNT DUE ON August 2, 2023: $0.03\n</invoice>",
        "Extrae el número de factura, el importe total y la fecha de vencimiento (como json) del texto entre las "
        "etiquetas <invoice>. Aquí tienes un ejemplo:\n\n"
        "<example>\nAmazon Web Services, Inc. Factura. Número de factura: 1484934918. Fecha de factura: 2 de noviembre "
        "de 2023. IMPORTE TOTAL A PAGAR EL 2 de noviembre de 2023: $0.03\n\n"
        '{\n    "invoice_number": 1484934918,\n    "total_amount": 0.03,\n    "due_date": '
        '"02/11/2023"\n}\n</example>\n\n'
        "<invoice>\nAmazon Web Services, Inc. Factura. Número de factura: 1401279274. Fecha de factura: 2 de agosto de "
        "2023. IMPORTE TOTAL A PAGAR EL 2 de agosto de 2023: $0.03\n</invoice>",
    ),
    "auth.message": ("Sign in to use the assistant.", "Inicia sesión para usar el asistente."),
    "auth.user": ("User", "Usuario"),
    "auth.password": ("Password", "Contraseña"),
    "auth.sign_in": ("Sign in", "Entrar"),
    "auth.sign_out": ("Sign out", "Cerrar sesión"),
    "auth.wrong": ("User or password are wrong.", "El usuario o la contraseña no son correctos."),
    "auth.busy": ("Too many attempts. Try again in a minute.", "Demasiados intentos. Prueba de nuevo en un minuto."),
    **phrases.TABLE,
    **error_words.TABLE,
}

EXAMPLES = ("code", "summary", "invoice")
# How a reply may have ended of which an export says so.
EXPORTED_ENDINGS = (
    "running",
    "max_tokens",
    "cancelled",
    "interrupted",
    "error",
    "refusal",
    "guardrail",
    "context_window",
    "other",
)


def say(key: str, language: str, **values: Any) -> str:
    """The words for a key. A value that is missing leaves its `{name}`: a text with a gap beats an exception."""
    text = TABLE[key][LANGUAGES.index(language)]
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def knows(key: str) -> bool:
    return key in TABLE


def language_of(headers: Mapping[str, str] | None) -> str:
    """The first of our languages in Accept-Language, by its weights; English where none is named."""
    weighted: list[tuple[float, str]] = []
    for part in ((headers or {}).get("accept-language") or "").split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            weighted.append((-float(weight or 1), tag.split("-")[0].lower()))
        except ValueError:
            continue
    # Equal weights keep the order in which they stand.
    return next((tag for _, tag in sorted(weighted, key=lambda each: each[0]) if tag in LANGUAGES), "en")


def reader(request: Any) -> str:
    """The language of whoever sent a gr.Request; English where that can't be told."""
    try:
        return language_of(dict(request.headers)) if request is not None else "en"
    except Exception:
        return "en"


def i18n() -> gr.I18n:
    """The table as Gradio wants it, for what the browser translates by itself."""
    return gr.I18n(**{language: {key: say(key, language) for key in TABLE} for language in LANGUAGES})


def examples(language: str) -> list[dict[str, str]]:
    """The three tasks as the chat's example cards."""
    return [
        {"text": say(f"example.{name}.text", language), "display_text": say(f"example.{name}", language)}
        for name in EXAMPLES
    ]


def follow_up(text: str) -> str | None:
    """The question that goes with the answer to the summary example, in the language it was asked in."""
    for language in LANGUAGES:
        if text.strip() == say("example.summary.text", language).strip():
            return say("example.summary.followup", language)
    return None
