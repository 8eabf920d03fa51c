"""The words of errors and limits, for words.py's table. key: (English, Spanish).

Of an error what happened, and under `.next` what to do: `error.Class`, or for one of its codes, or for what was being
done, `error.Class.code`.
"""

from __future__ import annotations

TABLE: dict[str, tuple[str, str]] = {
    "error.AssistantError": ("Something went wrong.", "Algo salió mal."),
    "error.AssistantError.next": (
        "Try again; the details may help.",
        "Inténtalo de nuevo; los detalles pueden ayudar.",
    ),
    "error.CredentialsError": (
        "AWS did not accept the credentials, or there are none.",
        "AWS no aceptó las credenciales, o no hay.",
    ),
    "error.CredentialsError.next": (
        "Sign in (for example with `aws sso login`) and send the message again; no restart is needed.",
        "Inicia sesión (por ejemplo con `aws sso login`) y envía el mensaje otra vez; no hace falta reiniciar.",
    ),
    "error.ModelAccessError": (
        "This AWS account may not use this model.",
        "Esta cuenta de AWS no puede usar este modelo.",
    ),
    "error.ModelAccessError.next": (
        "Choose another model, or check the model's access in the Amazon Bedrock console and the IAM permissions.",
        "Elige otro modelo, o revisa el acceso al modelo en la consola de Amazon Bedrock y los permisos de IAM.",
    ),
    "error.ModelNotFoundError": ("There is no such model here.", "Aquí no existe ese modelo."),
    "error.ModelNotFoundError.next": (
        "Choose one from the list under “Model and settings”.",
        "Elige uno de la lista en «Modelo y ajustes».",
    ),
    "error.InvalidRequestError": (
        "The model does not take this request.",
        "El modelo no admite esta petición.",
    ),
    "error.InvalidRequestError.next": (
        "Check the values under “Model and settings”; the details say which one.",
        "Revisa los valores de «Modelo y ajustes»; los detalles dicen cuál.",
    ),
    # A file that is to be imported.
    "error.InvalidRequestError.not_json": (
        "This file can't be read: it is damaged, or no JSON.",
        "No se puede leer este archivo: está dañado o no es JSON.",
    ),
    "error.InvalidRequestError.not_json.next": (
        "Choose a conversation that was exported as JSON.",
        "Elige una conversación exportada como JSON.",
    ),
    "error.InvalidRequestError.not_ours": (
        "This file is no conversation that was exported here.",
        "Este archivo no es una conversación exportada aquí.",
    ),
    "error.InvalidRequestError.not_ours.next": (
        "Choose one that was made with “Export as JSON”.",
        "Elige uno hecho con «Exportar como JSON».",
    ),
    "error.InvalidRequestError.newer": (
        "This file comes from a newer version of the assistant.",
        "Este archivo viene de una versión más nueva del asistente.",
    ),
    "error.InvalidRequestError.newer.next": (
        "It can be imported once this page is updated.",
        "Se podrá importar cuando se actualice esta página.",
    ),
    "error.InvalidRequestError.attachment": (
        "The attachment “{name}” in this file is damaged; nothing was imported.",
        "El adjunto «{name}» de este archivo está dañado; no se importó nada.",
    ),
    "error.InvalidRequestError.attachment.next": (
        "Export the conversation again.",
        "Exporta la conversación otra vez.",
    ),
    "error.InvalidRequestError.broken": (
        "Something in this file is missing or was changed; nothing was imported.",
        "A este archivo le falta algo o fue modificado; no se importó nada.",
    ),
    "error.InvalidRequestError.broken.next": (
        "Export the conversation again.",
        "Exporta la conversación otra vez.",
    ),
    "error.InvalidRequestError.too_large": (
        "This file is too large: at most {megabytes} MB and {turns} messages can be imported.",
        "Este archivo es demasiado grande: se pueden importar como máximo {megabytes} MB y {turns} mensajes.",
    ),
    "error.InvalidRequestError.too_large.next": (
        "Choose a shorter conversation.",
        "Elige una conversación más corta.",
    ),
    "error.InvalidRequestError.empty": ("There is nothing to send.", "No hay nada que enviar."),
    "error.InvalidRequestError.empty.next": (
        "Write a message or attach a file.",
        "Escribe un mensaje o adjunta un archivo.",
    ),
    "error.InvalidRequestError.out_of_range": (
        "“{parameter}” can't be {value}.",
        "«{parameter}» no puede ser {value}.",
    ),
    "error.InvalidRequestError.out_of_range.next": (
        "Choose a value {range}, or leave the field empty.",
        "Elige un valor {range}, o deja el campo vacío.",
    ),
    "range.between": ("from {low} to {high}", "de {low} a {high}"),
    "range.from": ("from {low} upwards", "de {low} en adelante"),
    "error.InvalidRequestError.no_images": (
        "This model does not see images.",
        "Este modelo no ve imágenes.",
    ),
    "error.InvalidRequestError.no_images.next": (
        "Choose a model that does, or remove the image under “What the model remembers”.",
        "Elige un modelo que las vea, o quita la imagen en «Lo que recuerda el modelo».",
    ),
    "error.InvalidRequestError.setup": (
        "The set-up of AWS on this page can't be used.",
        "La configuración de AWS de esta página no sirve.",
    ),
    "error.InvalidRequestError.setup.next": (
        "Show the details to whoever runs this page.",
        "Muestra los detalles a quien administra esta página.",
    ),
    "error.InvalidRequestError.no_turns": (
        "Nothing was said in this conversation yet.",
        "En esta conversación aún no se ha dicho nada.",
    ),
    "error.InvalidRequestError.no_turns.next": ("Write a message first.", "Escribe antes un mensaje."),
    "error.InvalidRequestError.long_summary": (
        "The summary has {tokens} tokens; the limit is {limit}.",
        "El resumen tiene {tokens} tokens; el límite es {limit}.",
    ),
    "error.InvalidRequestError.long_summary.next": (
        "Shorten it, or raise the limit first.",
        "Acórtalo, o sube antes el límite.",
    ),
    "error.ContextTooLongError": (
        "The conversation is longer than this model can read.",
        "La conversación es más larga de lo que este modelo puede leer.",
    ),
    "error.ContextTooLongError.next": (
        "Shorten the message, or choose a model with a larger window.",
        "Acorta el mensaje, o elige un modelo con una ventana mayor.",
    ),
    "error.ThrottledError": ("Too many requests.", "Demasiadas peticiones."),
    "error.ThrottledError.next": (
        "Wait a minute and try again; if it lasts, a quota is used up: choose another model, or ask AWS for more.",
        "Espera un minuto y reinténtalo; si continúa, se agotó una cuota: elige otro modelo, o pide más a AWS.",
    ),
    "error.ServiceError": (
        "The service failed or could not be reached.",
        "El servicio falló o no se pudo contactar.",
    ),
    "error.ServiceError.next": (
        "Try again in a moment; if it lasts, check your network.",
        "Reinténtalo en un momento; si continúa, revisa tu red.",
    ),
    "error.ServiceError.empty_answer": ("The model's answer was empty.", "La respuesta del modelo llegó vacía."),
    "error.ServiceError.empty_answer.next": (
        "Try again, or say it in other words.",
        "Reinténtalo, o dilo con otras palabras.",
    ),
    "error.ServiceError.unexpected": (
        "Something went wrong that should not have.",
        "Algo salió mal que no debía.",
    ),
    "error.ServiceError.unexpected.next": (
        "Try again; if it stays, show the details to whoever runs this page.",
        "Inténtalo de nuevo; si continúa, muestra los detalles a quien administra esta página.",
    ),
    "error.StreamInterruptedError": ("The answer was cut off.", "La respuesta se cortó."),
    "error.StreamInterruptedError.next": (
        "What arrived is kept: continue it, or try again.",
        "Lo que llegó se conserva: continúala o reinténtalo.",
    ),
    "error.SessionBusyError": (
        "This conversation is still being answered.",
        "Esta conversación todavía se está respondiendo.",
    ),
    "error.SessionBusyError.next": (
        "Wait for the answer or stop it, then send your message.",
        "Espera la respuesta o detenla, y luego envía tu mensaje.",
    ),
    "error.SessionBusyError.closing": ("The assistant is being restarted.", "El asistente se está reiniciando."),
    "error.SessionBusyError.closing.next": (
        "Your message is kept; try again in a moment.",
        "Tu mensaje se conserva; inténtalo de nuevo en un momento.",
    ),
    "error.BudgetExceededError": ("A limit is reached.", "Se alcanzó un límite."),
    "error.BudgetExceededError.next": (
        "Your message is kept; try again when one of those answers has ended.",
        "Tu mensaje se conserva; inténtalo de nuevo cuando termine una de esas respuestas.",
    ),
    "error.BudgetExceededError.after": (
        "It resets in {wait}, at {time} UTC. Your message is kept; try again then.",
        "Se restablece en {wait}, a las {time} UTC. Tu mensaje se conserva; inténtalo de nuevo entonces.",
    ),
    "error.PromptError": ("The prompt template does not fit.", "La plantilla no encaja."),
    "error.PromptError.next": ("See the details.", "Mira los detalles."),
    "error.StoreError": (
        "The conversation could not be read or saved.",
        "No se pudo leer o guardar la conversación.",
    ),
    "error.StoreError.because": (
        "The conversation could not be read or saved: {why}.",
        "No se pudo leer o guardar la conversación: {why}.",
    ),
    "error.StoreError.next": (
        "Try again in a moment; if it lasts, show the details to whoever runs this page.",
        "Inténtalo de nuevo en un momento; si continúa, muestra los detalles a quien administra esta página.",
    ),
    "error.StoreError.document_gone": (
        "A document of this conversation is no longer there.",
        "Un documento de esta conversación ya no está.",
    ),
    "error.StoreError.document_gone.next": ("Attach it again.", "Adjúntalo otra vez."),
    "error.ConversationNotFoundError": (
        "There is no such conversation, or it is not yours.",
        "Esa conversación no existe, o no es tuya.",
    ),
    "error.ConversationNotFoundError.next": ("Just begin a new one here.", "Simplemente empieza una nueva aquí."),
    # In a tab that has not seen it: a message, an edit, and what has no text of the reader's.
    "error.StaleConversationError": (
        "This conversation went on in another tab. Your message was not sent.",
        "Esta conversación continuó en otra pestaña. Tu mensaje no se envió.",
    ),
    "error.StaleConversationError.next": (
        "Look at what is new and send it again; your text is kept.",
        "Mira lo nuevo y envíalo otra vez; tu texto se conserva.",
    ),
    "error.StaleConversationError.edit": (
        "This conversation went on in another tab. Your change was not sent.",
        "Esta conversación continuó en otra pestaña. Tu cambio no se envió.",
    ),
    "error.StaleConversationError.edit.next": (
        "Look at what is new; the text you wrote is in the message box.",
        "Mira lo nuevo; el texto que escribiste está en el cuadro de mensaje.",
    ),
    "error.StaleConversationError.retry": (
        "This conversation went on in another tab. No other answer was asked for.",
        "Esta conversación continuó en otra pestaña. No se pidió otra respuesta.",
    ),
    "error.StaleConversationError.retry.next": (
        "Look at what is new, then try again if you still want to.",
        "Mira lo nuevo y reinténtalo si todavía quieres.",
    ),
    "error.StaleConversationError.undo": (
        "This conversation went on in another tab. Nothing was undone.",
        "Esta conversación continuó en otra pestaña. No se deshizo nada.",
    ),
    "error.StaleConversationError.undo.next": (
        "Look at what is new, then undo it if you still want to.",
        "Mira lo nuevo y deshazlo si todavía quieres.",
    ),
    "error.StaleConversationError.continue": (
        "This conversation went on in another tab. The answer was not continued.",
        "Esta conversación continuó en otra pestaña. La respuesta no se continuó.",
    ),
    "error.StaleConversationError.continue.next": (
        "Look at what is new.",
        "Mira lo nuevo.",
    ),
    "error.LocalModelError": (
        "The local model could not be loaded or run.",
        "El modelo local no se pudo cargar o ejecutar.",
    ),
    "error.LocalModelError.next": (
        "Choose another model, or show the details to whoever runs this page.",
        "Elige otro modelo, o muestra los detalles a quien administra esta página.",
    ),
    # Why the database fails.
    "store.locked": (
        "another program has locked the database",
        "otro programa tiene bloqueada la base de datos",
    ),
    "store.full": ("the disk is full", "el disco está lleno"),
    "store.read_only": ("the database can't be written", "no se puede escribir en la base de datos"),
    "store.unreachable": ("the database can't be reached", "no se puede contactar con la base de datos"),
    "store.unopenable": ("the database can't be opened", "no se puede abrir la base de datos"),
    "store.not_a_database": ("the database is damaged", "la base de datos está dañada"),
    "store.failed": ("the database failed", "la base de datos falló"),
    # Limits that are reached.
    "limit.of": ("The limit", "el límite"),
    "limit.of.you": ("Your limit", "tu límite"),
    "limit.of.this session": ("The limit of this session (this browser)", "el límite de esta sesión (este navegador)"),
    "limit.of.everybody": (
        "The limit of all users of this page together",
        "el límite de todos los usuarios de esta página en conjunto",
    ),
    "limit.concurrent_runs": (
        "{whose} for answers at once ({limit}) is reached.",
        "Se alcanzó {whose} de respuestas a la vez ({limit}).",
    ),
    "limit.messages_per_minute": (
        "{whose} for messages a minute ({limit}) is reached.",
        "Se alcanzó {whose} de mensajes por minuto ({limit}).",
    ),
    "limit.tokens_per_day": (
        "{whose} for tokens a day ({limit}) is reached.",
        "Se alcanzó {whose} de tokens al día ({limit}).",
    ),
    "limit.usd_per_day": (
        "{whose} for spending a day (${limit}) is reached.",
        "Se alcanzó {whose} de gasto al día (${limit}).",
    ),
}
