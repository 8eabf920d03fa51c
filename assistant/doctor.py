"""diagnose(): what works here, what does not, and the next step for each. `assistant doctor` prints it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import locale
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .doctor_words import WORDS, error_in_spanish
from .errors import AssistantError

if TYPE_CHECKING:
    from .clients.aws import AwsSetup
    from .clients.bedrock import BedrockClient

Status = Literal["ok", "warn", "fail"]

_PACKAGES = ("boto3", "anthropic", "tenacity", "gradio", "sqlalchemy", "xllamacpp")


@dataclass(frozen=True, slots=True)
class Record:
    """One finding. `check` is a stable key for machines; `title`, `text` and `next_step` are for people."""

    check: str
    status: Status
    title: str
    text: str
    next_step: str = ""


def language() -> str:
    """ "es" where the locale of this process is Spanish, else "en"."""
    named = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    named = named or (locale.getlocale()[0] or "")
    return "es" if named.lower().startswith(("es", "spanish")) else "en"


def diagnose(
    *,
    backend: str = "auto",
    region: str | None = None,
    profile: str | None = None,
    model: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    lang: str | None = None,
) -> list[Record]:
    """Looks at everything the assistant needs. Blocks for some ten requests; one of a single token is billed.

    Never raises for what it finds. With `backend="bedrock"` missing AWS is a failure; with "auto" it is a warning.
    """
    return list(_Doctor(backend, region, profile, model, data_dir, lang or language()).records())


def status_of(records: list[Record]) -> int:
    """The exit status: 1 where something fails."""
    return int(any(record.status == "fail" for record in records))


class _Doctor:
    def __init__(
        self,
        backend: str,
        region: str | None,
        profile: str | None,
        model: str | None,
        data_dir: str | os.PathLike[str] | None,
        lang: str,
    ) -> None:
        from .clients.aws import AwsSetup

        self.setup: AwsSetup = AwsSetup(region, profile)
        self.backend = backend
        self.model = model
        self.data_dir = data_dir
        self.column = 1 if lang == "es" else 0

    def say(self, key: str, **values: Any) -> str:
        return WORDS[key][self.column].format(**values)

    def record(self, check: str, status: Status, text: str, next_step: str = "") -> Record:
        return Record(check, status, self.say(check), text, next_step)

    def failed(self, check: str, error: Exception, *, status: Status = "fail", next_step: str | None = None) -> Record:
        message, hint = str(error) or type(error).__name__, ""
        if isinstance(error, AssistantError):
            message, hint = error_in_spanish(error) if self.column else (error.message, error.hint)
        return self.record(check, status, message, hint if next_step is None else next_step)

    def refused(self, check: str, error: Exception, *actions: str, status: Status = "warn") -> Record:
        """For a call to AWS: what lacks is a permission only where AWS says so."""
        from .clients.converse import translate
        from .errors import CredentialsError, ModelAccessError

        known = translate(error, None, None)
        if isinstance(known, ModelAccessError):
            return self.failed(check, known, status=status, next_step=self._allow(*actions))
        return self.failed(check, known, status="fail" if isinstance(known, CredentialsError) else status)

    def records(self) -> Iterator[Record]:
        yield self._python()
        yield self._packages()
        if self.backend != "local":
            yield from self._aws()
        yield self._local()
        yield self._store()
        yield self._share()

    def _python(self) -> Record:
        # An older one than 3.11 could not install the package.
        return self.record("python", "ok", f"{platform.python_version()}, {platform.system()} {platform.machine()}")

    def _packages(self) -> Record:
        found = []
        for name in _PACKAGES:
            try:
                found.append(f"{name} {importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                found.append(f"{name} –")
        return self.record("packages", "ok", ", ".join(found))

    # -- AWS -----------------------------------------------------------------------------------------------

    def _aws(self) -> Iterator[Record]:
        missing: Status = "fail" if self.backend == "bedrock" else "warn"
        try:
            credentials = self._credentials()
        except AssistantError as error:
            if error.__cause__ is None:
                yield self.record("credentials", missing, self.say("no_credentials"), self.say("no_credentials_next"))
            else:
                yield self.failed("credentials", error)
            return
        yield credentials
        region = self.setup.region_of(self.setup.session())
        if region is None:
            yield self.record("region", missing, self.say("no_region"), self.say("no_region_next"))
            return
        try:
            yield self.record("region", "ok", self.setup.region)
        except AssistantError as error:
            yield self.failed("region", error)
            return
        if credentials.status == "fail":
            return
        yield self._identity()
        from .clients.base import guardrail_of_environment
        from .clients.bedrock import BedrockClient

        yield from self._listings()
        try:
            # Where a policy wants a guardrail, a call without it would be refused.
            client = BedrockClient(guardrail=guardrail_of_environment(), setup=self.setup)
        except AssistantError as error:
            yield self.failed("call", error)
            return
        yield self._count(client)
        yield self._call(client)

    def _credentials(self) -> Record:
        if self.setup.bearer_token:
            return self.record("credentials", "ok", self.say("from", source="AWS_BEARER_TOKEN_BEDROCK"))
        credentials = self.setup.credentials()
        source = credentials.method
        # botocore keeps the time of expiry to itself; it is in no public attribute.
        until = getattr(credentials, "_expiry_time", None)
        if until is None:
            return self.record("credentials", "ok", self.say("from", source=source))
        when = until.astimezone().strftime("%Y-%m-%d %H:%M")
        if until <= datetime.now(UTC):
            text = self.say("expired", source=source, until=when)
            return self.record("credentials", "fail", text, self.say("expired_next"))
        return self.record("credentials", "ok", self.say("expires", source=source, until=when))

    def _identity(self) -> Record:
        if self.setup.bearer_token:
            return self.record("identity", "ok", self.say("bearer"))
        try:
            found = self.setup.boto3_client("sts", connect_timeout=5, read_timeout=10).get_caller_identity()
        except Exception as error:
            return self.failed("identity", error, status="warn", next_step=self.say("identity_next"))
        account = found["Account"]
        who = found["Arn"].rsplit(":", 1)[-1]
        return self.record("identity", "ok", self.say("account", account=f"********{account[-4:]}", who=who))

    def _listings(self) -> Iterator[Record]:
        try:
            control = self.setup.boto3_client("bedrock", connect_timeout=5, read_timeout=20)
        except AssistantError as error:
            yield self.failed("models", error)
            return
        calls: tuple[tuple[str, str, Callable[[], int]], ...] = (
            ("models", "ListFoundationModels", lambda: len(control.list_foundation_models()["modelSummaries"])),
            (
                "profiles",
                "ListInferenceProfiles",
                lambda: len(control.list_inference_profiles(maxResults=1000)["inferenceProfileSummaries"]),
            ),
        )
        for check, action, call in calls:
            try:
                yield self.record(check, "ok", self.say("count_of", count=call()))
            except Exception as error:
                yield self.refused(check, error, f"bedrock:{action}")

    def _allow(self, *actions: str) -> str:
        names = ", ".join(f'"{action}"' for action in actions)
        statement = f'{{"Effect": "Allow", "Action": [{names}], "Resource": "*"}}'
        return self.say("allow_next", statement=statement)

    def _count(self, client: BedrockClient) -> Record:
        from .errors import InvalidRequestError, ModelNotFoundError

        try:
            model = client.model_info(self.model).id
        except AssistantError as error:
            return self.failed("count", error, status="warn")
        try:
            client.exact_tokens("hola", model=self.model)
        except (InvalidRequestError, ModelNotFoundError) as error:
            if error.code in (None, "setup"):
                # The service was not asked.
                return self.failed("count", error, status="warn")
            # Many models are not counted for, and nothing can be done about it.
            return self.record("count", "ok", self.say("uncounted", model=model))
        except AssistantError as error:
            return self.refused("count", error, "bedrock:CountTokens")
        return self.record("count", "ok", self.say("exact", model=model))

    def _call(self, client: BedrockClient) -> Record:
        from .errors import ModelAccessError

        try:
            # Loading the packages is no part of the answer's time.
            client.warm()
            reply = client.complete("Hi", model=self.model, max_tokens=1)
        except ModelAccessError as error:
            failed = self.failed("call", error)
            allow = self._allow("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
            return replace(failed, next_step=f"{allow}\n{failed.next_step}")
        except AssistantError as error:
            return self.failed("call", error)
        return self.record("call", "ok", self.say("answered", model=reply.model, seconds=reply.seconds or 0.0))

    # -- here ----------------------------------------------------------------------------------------------

    def _local(self) -> Record:
        from .clients.local import LocalClient

        missing: Status = "fail" if self.backend == "local" else "warn"
        try:
            client = LocalClient()
            if importlib.util.find_spec("xllamacpp") is None:
                return self.record("local", missing, "xllamacpp –", self.say("engine_missing_next"))
            return self.record("local", "ok", client.default_model)
        except AssistantError as error:
            return self.failed("local", error, status=missing)

    def _store(self) -> Record:
        if importlib.util.find_spec("sqlalchemy") is None:
            return self.record("store", "warn", self.say("store_missing"), self.say("store_missing_next"))
        from .store import ConversationStore

        try:
            store = ConversationStore(data_dir=self.data_dir)
            store.check()
            where = store.location
            store.close()
        except AssistantError as error:
            failed = self.failed("store", error)
            return replace(failed, next_step=f"{failed.next_step} {self.say('store_next')}".strip())
        return self.record("store", "ok", where)

    def _share(self) -> Record:
        home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
        found = next(iter(sorted((home / "gradio" / "frpc").glob("frpc_*"))), None)
        if found is None:
            return self.record("share", "warn", self.say("share_missing"), self.say("share_next"))
        return self.record("share", "ok", found.name)
