"""Settings: one YAML file, each value overridable by an environment variable (``PATCHBAY_DATABASE__URL``).

YAML 1.1 turns ``0123`` into 83, ``+4917...`` into an integer and ``22:00`` into 1320, so what must be text is strict, and the
error says which key to quote.  Unknown keys are refused.
"""

from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from controller.config_masking import Masking
from controller.config_policy import Policy

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Host = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9.:-]{1,253}$")]
User = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._+-]{1,64}$")]


class ConfigInvalid(ValueError):
    """The configuration has faults; the message names each key and the cure."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(_Part):
    """Where the API listens."""

    host: Host = "127.0.0.1"
    port: Port = 8080


class Database(_Part):
    """``sqlite:////path/file`` or ``postgresql://user@host/name``."""

    url: Annotated[str, Field(strict=True)] = "sqlite:///patchbay.db"

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        if not url.startswith(("sqlite:///", "postgresql://")):
            raise ValueError("begin it with sqlite:/// or postgresql://")
        return url


class Ami(_Part):
    """How to reach Asterisk's manager interface; it should listen on loopback."""

    host: Host = "127.0.0.1"
    port: Port = 5038
    username: User = "patchbay"
    secret: SecretStr


class Hook(_Part):
    """Where our FastAGI hook listens, and what the dialplan must know to be let in."""

    host: Host = "127.0.0.1"
    port: Port = 4573
    token: SecretStr


class Esl(_Part):
    """How to reach FreeSWITCH's event socket; it should listen on loopback."""

    host: Host = "127.0.0.1"
    port: Port = 8021
    password: SecretStr


class SipBind(_Part):
    """Where the PBX itself listens for SIP and sends RTP: used to render its configuration."""

    host: Host = "0.0.0.0"
    port: Port = 5060
    rtp_first: Port = 10000
    rtp_last: Port = 20000
    t1_ms: Annotated[int, Field(ge=100, le=2000)] = 500


class DeadMan(_Part):
    """What the dialplan does by itself while no controller answers (seconds).  A call that came in and is not answered rings
    for ``give_up_s`` and is refused with the SIP status ``refuse_with`` then (of Asterisk: 403, 404, 408, 410, 480, 484, 486,
    500, 502, else 503); ``say``: the prompt that its caller hears before that, before any answer."""

    patience_s: Annotated[int, Field(ge=1, le=60)] = 3
    knock_every_s: Annotated[int, Field(ge=1, le=10)] = 1
    give_up_s: Annotated[int, Field(ge=5, le=600)] = 30
    refuse_with: Annotated[int, Field(ge=400, le=699)] = 503
    say: Annotated[str, Field(strict=True, pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] | None = None


class Node(_Part):
    """One PBX machine.  ``lost_after_s``: away for so long it is lost, and its calls are ended as lost."""

    name: Name
    kind: Literal["asterisk", "freeswitch"]
    ami: Ami | None = None
    hook: Hook | None = None
    esl: Esl | None = None
    sip: SipBind = SipBind()
    dead_man: DeadMan = DeadMan()
    spool: Path = Path("/var/spool/asterisk/patchbay")
    prompts: Path | None = None
    capacity: Annotated[int, Field(ge=1, le=20000)] = 500
    lost_after_s: Annotated[float, Field(ge=1, le=86400)] = 60

    def model_post_init(self, _context: Any) -> None:
        """Each kind needs its own way in."""
        if self.kind == "asterisk" and (self.ami is None or self.hook is None):
            raise ValueError(f"node {self.name}: an asterisk node needs `ami:` and `hook:`")
        if self.kind == "freeswitch" and self.esl is None:
            raise ValueError(f"node {self.name}: a freeswitch node needs `esl:`")


class TrunkSip(_Part):
    """The carrier at the other end, for the rendered PBX configuration.

    ``rtp_timeout_s``: a leg without any RTP for so long is hung up; 0 lets it be (phones that send none in silence)."""

    host: Host
    port: Port = 5060
    username: User | None = None
    password: SecretStr | None = None
    from_domain: Host | None = None
    rtp_timeout_s: Annotated[int, Field(ge=0, le=3600)] = 0
    codecs: tuple[Annotated[str, Field(pattern=r"^[a-z0-9]{2,10}$")], ...] = ("ulaw", "alaw")


class Trunk(_Part):
    """A way out: the PBX endpoint (Asterisk) or gateway (FreeSWITCH) of this name, for the numbers with these prefixes.

    ``nodes``, ``kinds``: it is on these nodes, on nodes of these kinds; on all where none is named."""

    name: Name
    prefixes: tuple[Annotated[str, Field(strict=True, pattern=r"^\+?[0-9]*$")], ...] = ("",)
    nodes: tuple[Name, ...] = ()
    kinds: tuple[Literal["asterisk", "freeswitch"], ...] = ()
    calls_per_second: Annotated[float, Field(gt=0, le=10000)] = 10
    concurrent: Annotated[int, Field(ge=1, le=20000)] = 200
    sip: TrunkSip | None = None

    def serves(self, node: str, kind: str) -> bool:
        """Whether it is on this node, which is of this kind."""
        return (not self.nodes or node in self.nodes) and (not self.kinds or kind in self.kinds)


def on_node(trunks: Iterable[Trunk], node: Node, name: str) -> bool:
    """Whether the trunk of this name is on that node."""
    return any(trunk.name == name and trunk.serves(node.name, node.kind) for trunk in trunks)


class Queue(_Part):
    """How much may wait, and how fast a tenant may start calls.  The bounds are for new calls: retries, and what waits at a
    start, were accepted before, and are kept also beyond them."""

    bound: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    tenant_bound: Annotated[int, Field(ge=1, le=1_000_000)] = 5_000
    tenant_calls_per_second: Annotated[float, Field(gt=0, le=10000)] = 10
    tenant_concurrent: Annotated[int, Field(ge=1, le=20000)] = 200


class Recordings(_Part):
    """Where stored recordings lie."""

    folder: Path = Path("recordings")


class Webhooks(_Part):
    """How deliveries behave.  ``allow_private``: addresses (CIDR) that would be refused otherwise.  ``retry_s``: the waits
    before the tries, of which the first is made at once.  ``concurrent``: requests under way to one endpoint.  ``ca_file``:
    certificate authorities (PEM) that are trusted beside the system's."""

    connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5
    read_timeout_s: Annotated[float, Field(gt=0, le=120)] = 15
    allow_private: tuple[Annotated[str, Field(strict=True)], ...] = ()
    retry_s: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1, max_length=100)] = (
        (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    )  # fmt: skip
    keep_days: Annotated[int, Field(ge=1, le=365)] = 7
    concurrent: Annotated[int, Field(ge=1, le=100)] = 8
    ca_file: Path | None = None

    @field_validator("allow_private")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ip_network(network)
        return networks


class Access(_Part):
    """Tokens, lock-outs and how much a tenant may ask.  ``token_s`` and ``refresh_s``: how long an access and a refresh token
    are good; ``grant_s``: how long a grant can be refreshed.  ``failures``: wrong attempts of one key or client within
    ``failures_within_s`` that lock it for ``lock_s``, twice as long each further time up to ``lock_most_s``;
    ``address_failures``: the same of one address.  ``requests_per_second``: of one tenant, which can save up ``burst_s`` of
    it."""

    token_s: Annotated[int, Field(ge=60, le=86_400)] = 900
    refresh_s: Annotated[int, Field(ge=60, le=2_592_000)] = 86_400
    grant_s: Annotated[int, Field(ge=60, le=31_536_000)] = 2_592_000
    failures: Annotated[int, Field(ge=1, le=1000)] = 10
    address_failures: Annotated[int, Field(ge=1, le=10_000)] = 30
    failures_within_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    lock_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    lock_most_s: Annotated[int, Field(ge=1, le=604_800)] = 3600
    requests_per_second: Annotated[int, Field(ge=1, le=100_000)] = 1000
    burst_s: Annotated[float, Field(gt=0, le=60)] = 2


class Retention(_Part):
    """How long timelines are kept after a call has ended (call records stay), and entries of the audit log."""

    timeline_days: Annotated[int, Field(ge=7, le=3650)] = 90
    audit_days: Annotated[int, Field(ge=7, le=3650)] = 365


class Log(_Part):
    """How much is logged; never a number, key press or secret."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Settings(BaseSettings):
    """Everything that an installation decides."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix="PATCHBAY_", env_nested_delimiter="__")

    listen: Listen = Listen()
    database: Database = Database()
    nodes: tuple[Node, ...] = ()
    trunks: tuple[Trunk, ...] = ()
    queue: Queue = Queue()
    recordings: Recordings = Recordings()
    webhooks: Webhooks = Webhooks()
    access: Access = Access()
    retention: Retention = Retention()
    policy: Policy = Policy()
    masking: Masking = Masking()
    log: Log = Log()
    flows: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return (env_settings, init_settings)


def load(path: Path) -> Settings:
    """The settings in a YAML file.  Raises ConfigInvalid naming file, key and cure."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigInvalid(f"{path}: cannot be read ({error.strerror}); name another file with --config") from None
    except yaml.YAMLError as error:
        raise ConfigInvalid(f"{path}: is no YAML: {error}") from None
    if not isinstance(document, dict | None):
        raise ConfigInvalid(f"{path}: is no mapping; begin with `nodes:`")
    try:
        return Settings(**(document or {}))
    except ValidationError as error:
        raise ConfigInvalid("\n".join(_told(path, fault) for fault in error.errors())) from None


def _told(path: Path, fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "settings"
    message = fault["msg"]
    if fault["type"] == "string_type" and isinstance(fault.get("input"), int | float):
        message = "this must be text, and YAML read a number; put quotes around it"
    elif fault["type"] == "extra_forbidden":
        message = "there is no such setting; see docs/reference/configuration.md"
    return f"{path}: {where}: {message}"
