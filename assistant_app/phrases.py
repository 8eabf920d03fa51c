"""The words of the side bar, the panels and colours, for words.py's table. key: (English, Spanish)."""

from __future__ import annotations

TABLE: dict[str, tuple[str, str]] = {
    # The side bar.
    "side.label": ("Conversations", "Conversaciones"),
    "side.new": ("New chat", "Nuevo chat"),
    "side.temporary": ("Temporary chat", "Chat temporal"),
    "side.temporary.info": (
        "This chat is temporary: it is stored nowhere and listed nowhere. Once this page is closed you won't find it "
        "again.",
        "Este chat es temporal: no se guarda ni aparece en ninguna lista. Al cerrar esta página ya no lo encontrarás.",
    ),
    "side.search": ("Search conversations", "Buscar conversaciones"),
    "side.search.hint": ("Search (Ctrl+K)", "Buscar (Ctrl+K)"),
    "side.none": ("Nothing here yet.", "Aún no hay nada aquí."),
    "side.not_found": ("Nothing was found.", "No se encontró nada."),
    "side.today": ("Today", "Hoy"),
    "side.yesterday": ("Yesterday", "Ayer"),
    "side.week": ("Last 7 days", "Últimos 7 días"),
    "side.month": ("Last 30 days", "Últimos 30 días"),
    "side.older": ("Older", "Anteriores"),
    "side.more": (
        "Only the newest {count} are listed; search for older ones.",
        "Solo las {count} más recientes; busca las anteriores.",
    ),
    "side.untitled": ("Untitled", "Sin título"),
    "side.busy": ("being answered", "respondiendo"),
    "side.options": ("Options for “{title}”", "Opciones de «{title}»"),
    "side.rename": ("Rename", "Cambiar nombre"),
    "side.delete": ("Delete", "Eliminar"),
    "side.markdown": ("Export as Markdown", "Exportar como Markdown"),
    "side.json": ("Export as JSON", "Exportar como JSON"),
    "side.data": ("Your data", "Tus datos"),
    "side.import": ("Import a conversation (JSON)", "Importar una conversación (JSON)"),
    "side.forget_all": ("Delete all my data", "Eliminar todos mis datos"),
    "side.forget_all.confirm": (
        "Delete every conversation, document, preset and preference for good? This can't be undone.",
        "¿Eliminar para siempre todas las conversaciones, documentos, plantillas y preferencias? No se puede deshacer.",
    ),
    "side.forgotten": ("All your data was deleted.", "Se eliminaron todos tus datos."),
    "side.deleted": ("“{title}” was deleted.", "Se eliminó «{title}»."),
    "side.undo": ("Undo", "Deshacer"),
    "side.import.busy": (
        "Another file is being imported. Try again in a moment.",
        "Se está importando otro archivo. Inténtalo de nuevo en un momento.",
    ),
    "side.left_out": (
        "Exported without these attachments, with which the file would be too large to be imported again: {names}",
        "Exportada sin estos adjuntos, con los que el archivo sería demasiado grande para volver a importarlo: {names}",
    ),
    "side.close": ("Close", "Cerrar"),
    "side.toggle": ("Show or hide the conversations", "Mostrar u ocultar las conversaciones"),
    # In an exported conversation.
    "export.conversation": ("Conversation", "Conversación"),
    "export.you": ("You", "Tú"),
    "export.assistant": ("Assistant", "Asistente"),
    "export.running": ("still being written", "todavía se está escribiendo"),
    "export.max_tokens": ("cut at its longest length", "cortada en su longitud máxima"),
    "export.cancelled": ("stopped", "detenida"),
    "export.interrupted": ("cut off", "cortada"),
    "export.error": ("no answer: an error", "sin respuesta: un error"),
    "export.refusal": ("declined by the model", "el modelo declinó responder"),
    "export.guardrail": ("a guardrail stepped in", "intervino una barrera de protección"),
    "export.context_window": ("the model's window is full", "la ventana del modelo está llena"),
    "export.other": ("ended otherwise", "terminó de otra forma"),
    # Attachments.
    "attach.button": ("Attach files", "Adjuntar archivos"),
    "attach.label": ("Attached", "Adjuntos"),
    "attach.remove": ("Remove {name}", "Quitar {name}"),
    "attach.pasted": ("Pasted text", "Texto pegado"),
    "attach.alone": ("Please read what is attached.", "Lee lo que va adjunto, por favor."),
    "attach.uploading": ("Uploading…", "Subiendo…"),
    "attach.failed": (
        "The files could not be uploaded. Attach them again.",
        "No se pudieron subir los archivos. Adjúntalos otra vez.",
    ),
    "attach.upload_limit": (
        "Your limit for uploads a day is reached. It resets in about {number} h; until then paste the text instead.",
        "Se alcanzó tu límite de subidas al día. Se restablece en unas {number} h; hasta entonces pega el texto.",
    ),
    "attach.upload_limit.all": (
        "The limit of all users of this page together for uploads a day is reached. It resets in about {number} h; "
        "until then paste the text instead.",
        "Se alcanzó el límite de todos los usuarios de esta página en conjunto de subidas al día. Se restablece en "
        "unas {number} h; hasta entonces pega el texto.",
    ),
    "attach.upload_size": (
        "These files together are too large: {number} MB can be attached at once. Attach fewer of them.",
        "Estos archivos juntos son demasiado grandes: se pueden adjuntar {number} MB a la vez. Adjunta menos.",
    ),
    "attach.first": (
        "The files are not ready yet. Send the message in a moment.",
        "Los archivos aún no están listos. Envía el mensaje en un momento.",
    ),
    "attach.reading": ("Reading the files…", "Leyendo los archivos…"),
    "attach.kind": (
        "{name}: files of this kind are not taken. Kinds that are: {kinds}.",
        "{name}: no se admiten archivos de este tipo. Se admiten: {kinds}.",
    ),
    "attach.empty": ("{name} is empty.", "{name} está vacío."),
    "attach.size": (
        "{name} has {size} MB; the limit is {limit} MB.",
        "{name} tiene {size} MB; el límite es de {limit} MB.",
    ),
    "attach.count": (
        "A message takes {documents} documents and {images} images at most: {name} was left out.",
        "Un mensaje admite como máximo {documents} documentos y {images} imágenes: {name} quedó fuera.",
    ),
    "attach.unreadable": (
        "{name} could not be read. Attach it again.",
        "No se pudo leer {name}. Adjúntalo otra vez.",
    ),
    "attach.no_reader": (
        "{name}: files of this kind can't be read here. Paste its text, or save it as PDF or TXT.",
        "{name}: aquí no se puede leer este tipo de archivo. Pega su texto o guárdalo como PDF o TXT.",
    ),
    "attach.cells": (
        "{name} has more than {cells} cells. Remove sheets, or save the part that matters as CSV.",
        "{name} tiene más de {cells} celdas. Quítale hojas, o guarda como CSV la parte que importa.",
    ),
    "attach.damaged": (
        "{name} could not be read. Is it damaged, or protected by a password? Save it again.",
        "No se pudo leer {name}. ¿Está dañado o protegido con contraseña? Guárdalo otra vez.",
    ),
    "attach.no_text": (
        "{name} holds no text. If it is a scan, choose a model that reads documents, or attach its pages as images.",
        "{name} no contiene texto. Si es un escaneo, elige un modelo que lea documentos o adjunta sus páginas como "
        "imágenes.",
    ),
    "attach.pixels": (
        "{name} is too large: an image may have {pixels} pixels on either side.",
        "{name} es demasiado grande: una imagen puede tener {pixels} píxeles por lado.",
    ),
    "attach.no_images": (
        "{name} is an image, and {model} does not see images. Choose a model that does, or remove it.",
        "{name} es una imagen y {model} no ve imágenes. Elige un modelo que las vea, o quítala.",
    ),
    "attach.gone": (
        "What was attached is not here any more. Attach it again; your text is kept.",
        "Lo adjunto ya no está aquí. Adjúntalo otra vez; tu texto se conserva.",
    ),
    # Model and settings.
    "settings.effort": ("Effort", "Esfuerzo"),
    "settings.effort.info": (
        "How long the model thinks before it answers; empty: the model's own.",
        "Cuánto piensa el modelo antes de responder; vacío: el del modelo.",
    ),
    "settings.max_tokens.upto": (
        "Longest answer, in tokens, up to {limit}; empty: the usual one.",
        "Respuesta más larga, en tokens, hasta {limit}; vacío: el habitual.",
    ),
    "settings.refresh": ("Refresh the list of models", "Actualizar la lista de modelos"),
    "settings.refreshed": ("{count} models.", "{count} modelos."),
    "settings.default": ("Use as my default", "Usar por defecto"),
    "settings.default.done": ("New chats begin with these settings.", "Los chats nuevos empiezan con estos ajustes."),
    "preset.label": ("Preset", "Plantilla"),
    "preset.pick": ("Choose a preset", "Elige una plantilla"),
    "preset.info": (
        "A system prompt with its settings, under a name.",
        "Unas instrucciones con sus ajustes, bajo un nombre.",
    ),
    "preset.name": ("Name", "Nombre"),
    "preset.name.info": ("To save what is set above.", "Para guardar lo que está puesto arriba."),
    "preset.save": ("Save preset", "Guardar plantilla"),
    "preset.delete": ("Delete preset", "Eliminar plantilla"),
    "preset.saved": ("Saved: “{name}”.", "Guardada: «{name}»."),
    "preset.deleted": ("The preset was deleted.", "Se eliminó la plantilla."),
    "preset.unnamed": ("Give the preset a name.", "Ponle un nombre a la plantilla."),
    "preset.built_in": ("This one belongs to the assistant.", "Esta es propia del asistente."),
    "preset.code": ("Code for a chatbot", "Código para un chatbot"),
    "preset.code.text": (
        "You are an experienced programmer. Answer with complete code that runs as it is, in one block, and say in two "
        "or three sentences how to start it.",
        "Eres una persona con mucha experiencia en programación. Responde con código completo que funcione tal cual, "
        "en un solo bloque, y di en dos o tres frases cómo arrancarlo.",
    ),
    "preset.summary": ("Summary in five ideas", "Resumen en cinco ideas"),
    "preset.summary.text": (
        "Summarise whatever text you are given in 5 ideas, each in one sentence, in the language of the text. Add "
        "nothing that is not in it.",
        "Resume el texto que recibas en 5 ideas, cada una en una frase, en el idioma del texto. No añadas nada que no "
        "esté en él.",
    ),
    "preset.invoice": ("Invoice to JSON (1-shot)", "Factura a JSON (1-shot)"),
    "preset.invoice.text": (
        "Extract invoice number, total amount and due date from the invoice you are given. Answer with JSON alone. "
        "Here is an example:\n\n<example>\nAmazon Web Services, Inc. Invoice. Invoice Number: 1484934918. Invoice "
        "Date: November 2, 2023. TOTAL AMOUNT DUE ON November 2, 2023: $0.03\n\n"
        '{\n    "invoice_number": 1484934918,\n    "total_amount": 0.03,\n    "due_date": "02/11/2023"\n}\n</example>',
        "Extrae el número de factura, el importe total y la fecha de vencimiento de la factura que recibas. Responde "
        "solo con JSON. Aquí tienes un ejemplo:\n\n<example>\nAmazon Web Services, Inc. Factura. Número de factura: "
        "1484934918. Fecha de factura: 2 de noviembre de 2023. IMPORTE TOTAL A PAGAR EL 2 de noviembre de 2023: "
        "$0.03\n\n"
        '{\n    "invoice_number": 1484934918,\n    "total_amount": 0.03,\n    "due_date": "02/11/2023"\n}\n</example>',
    ),
    # Memory.
    "memory.label": ("What the model remembers", "Lo que recuerda el modelo"),
    "memory.empty": ("Nothing was said yet.", "Aún no se ha dicho nada."),
    "memory.gauge": ("{tokens} of {limit} tokens", "{tokens} de {limit} tokens"),
    "memory.problem": (
        "The older turns could not be summarised yet: they are sent word for word, and it is tried again later.",
        "Los turnos más antiguos aún no se pudieron resumir: se envían palabra por palabra, y se intentará más tarde.",
    ),
    "memory.summary": ("Summary", "Resumen"),
    "memory.summary.info": (
        "Stands for the older turns. What you write here is sent instead.",
        "Representa los turnos más antiguos. Lo que escribas aquí se envía en su lugar.",
    ),
    "memory.turns": ("Turns sent word for word", "Turnos que se envían palabra por palabra"),
    "memory.documents": ("Documents sent whole", "Documentos que se envían enteros"),
    "memory.none": ("None", "Ninguno"),
    "memory.tokens": ("{tokens} tokens", "{tokens} tokens"),
    "memory.unpin": ("Remove", "Quitar"),
    "memory.unpin.label": ("Remove {name} from memory", "Quitar {name} de la memoria"),
    "memory.limit": ("Limit", "Límite"),
    "memory.limit.info": (
        "Tokens for summary and turns together; past it the oldest turns are summarised.",
        "Tokens para el resumen y los turnos; pasado el límite se resumen los turnos más antiguos.",
    ),
    "memory.reset": ("Back to what it was", "Volver a lo que era"),
    "memory.save": ("Save", "Guardar"),
    "memory.saved": ("Saved; it holds from the next message on.", "Guardado; vale desde el siguiente mensaje."),
    "memory.forget": ("Forget", "Olvidar"),
    "memory.forgotten": (
        "Forgotten. The chat stays on the screen; the model does not see it any more.",
        "Olvidado. El chat sigue en pantalla; el modelo ya no lo ve.",
    ),
    "notice.unpinned": (
        "{name} is not sent any more: pinned documents may have {budget} tokens in all. Attach it again to ask about "
        "it.",
        "{name} ya no se envía: los documentos fijados pueden sumar {budget} tokens. Adjúntalo otra vez para preguntar "
        "por él.",
    ),
    "notice.crowded_out": (
        "{name} is not sent any more: a message takes {most} of its kind. Attach it again to ask about it.",
        "{name} ya no se envía: un mensaje admite {most} de su clase. Adjúntalo otra vez para preguntar por él.",
    ),
    # A conversation that is not saved yet, and why.
    "notice.not_saved": (
        "This conversation can't be saved at the moment: {why}. It is tried again by itself.",
        "Esta conversación no se puede guardar por ahora: {why}. Se intentará de nuevo sin que hagas nada.",
    ),
    # The colours of the page.
    "app.looks": ("Looks of the page", "Aspecto de la página"),
    "colours.light": ("Light", "Claro"),
    "colours.dark": ("Dark", "Oscuro"),
    "colours.system": ("As the system", "Como el sistema"),
    # Cost.
    "cost.label": ("Tokens and cost", "Tokens y coste"),
    "cost.tokens": ("{input} tokens in, {output} out", "{input} tokens de entrada, {output} de salida"),
    "cost.unknown": ("cost unknown", "coste desconocido"),
    "cost.first_text": ("first word after {seconds} s", "primera palabra a los {seconds} s"),
    "cost.conversation": ("This conversation, with its summaries", "Esta conversación, con sus resúmenes"),
    "cost.days": ("By day, last {days} days", "Por día, últimos {days} días"),
    "cost.total": ("In all", "En total"),
    "cost.day": ("{day}: {tokens} tokens, {cost}", "{day}: {tokens} tokens, {cost}"),
    "cost.plot": ("Tokens by day; the table below has the numbers.", "Tokens por día; la tabla tiene las cifras."),
    "cost.column.day": ("Day", "Día"),
    "cost.column.turns": ("Messages", "Mensajes"),
    "cost.column.tokens": ("Tokens", "Tokens"),
    "cost.column.cost": ("Cost", "Coste"),
}
