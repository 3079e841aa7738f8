"""The pages of `docs/reference` that are generated: `python -m controller.cli.reference docs/reference`.

A test says when a page is not what the code says now."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from controller.api.app import bare_app
from controller.api.auth import SCOPES
from controller.api.problems import CODES
from controller.config import Settings

MADE = "<!-- Made by `python -m controller.cli.reference docs/reference`; change the code, not this page. -->"


COMMON = {"--api", "--key", "--lab", "--json"}
"""Options that nearly every command has, told once at the top of the page."""


def pages() -> dict[str, str]:
    """File names to text."""
    made = {"api.md": _api(), "command-line.md": _command_line(), "configuration.md": _configuration()}
    return {name: "\n".join([MADE, "", *lines]).rstrip() + "\n" for name, lines in made.items()}


# --- the API


def _api() -> Iterator[str]:
    described = bare_app().openapi()
    yield from ("# API", "", described["info"]["description"], "")
    yield from ("A running controller shows this as a page on `/docs`, and as OpenAPI 3.1 on `/openapi.json`.", "")
    yield from ("Scopes of a key: " + ", ".join(f"`{scope}`" for scope in SCOPES) + ". `write` includes `read`.", "")
    tag = ""
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                yield from (f"## {tag.capitalize()}", "")
            yield from _operation(method, path, operation)
    yield from (
        "## Errors",
        "",
        "`application/problem+json` (RFC 9457). `code` is stable.",
        "",
        "| code | status | meaning |",
        "|---|---|---|",
    )
    for code, (status, title) in CODES.items():
        yield f"| `{code}` | {status} | {title} |"
    yield from ("", "## Shapes", "")
    for name, schema in sorted(described["components"]["schemas"].items()):
        if not name.startswith(("PageOut", "ProblemOut", "HTTPValidation", "ValidationError")):
            yield from _shape(name, schema)


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield from (f"### `{method.upper()} {path}`", "", operation.get("description", ""), "")
    parameters = operation.get("parameters", [])
    if parameters:
        yield from ("| parameter | in | type | |", "|---|---|---|---|")
    for one in parameters:
        about = one.get("description") or one["schema"].get("description") or ""
        yield f"| `{one['name']}` | {one['in']} | {_type(one['schema'])} | {about} |"
    if parameters:
        yield ""
    taken = next((one["schema"] for one in operation.get("requestBody", {}).get("content", {}).values()), None)
    given: dict[str, Any] = next((one for status, one in operation["responses"].items() if status < "300"), {})
    answer = given.get("content", {}).get("application/json", {}).get("schema")
    status = next((status for status in operation["responses"] if status < "300"), "")
    takes = f"Takes {_type(taken)}, answers" if taken else "Answers"
    scopes = [scope for one in operation.get("security", []) for scope in one.get("apiKey", [])]
    needs = f"  Scope: `{scopes[0]}`." if scopes else ""
    yield from (f"{takes} {status}" + (f" {_type(answer)}." if answer else ".") + needs, "")


def _shape(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield from (f"### {name}", "", schema.get("description", ""), "")
    required = schema.get("required", [])
    properties = schema.get("properties", {})
    if properties:
        yield from ("| field | type | |", "|---|---|---|")
    for field, part in properties.items():
        about = [*(["required"] if field in required else []), *([str(part["description"])] if "description" in part else [])]
        if part.get("default") not in (None, {}):
            about.append(f"default `{part['default']}`")
        yield f"| `{field}` | {_type(part)} | {'; '.join(about)} |"
    if properties:
        yield ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = str(schema["$ref"].rsplit("/", 1)[1])
        return f"page of {name[8:].strip('_')}" if name.startswith("PageOut_") else name
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return " \\| ".join(_type(one) for one in several)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    low, high = schema.get("minimum"), schema.get("maximum")
    return str(schema.get("type", "any")) + (f" {low}..{high}" if high is not None else "")


# --- the command line


def _command_line() -> Iterator[str]:
    commands = importlib.import_module("cli").COMMANDS
    yield from ("# Command line", "", "`--json` gives one JSON document on stdout; everything else goes to stderr.", "")
    yield from ("Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 unavailable.", "")
    yield from ("Where the API is: `--api` or `PATCHBAY_API`; the key: `--key` or `PATCHBAY_API_KEY`; both: `--lab DIR`.", "")
    for name, (module, about) in sorted(commands.items()):
        yield from (f"## patchbay {name}", "", about, "")
        yield from _command(importlib.import_module(module).command, f"patchbay {name}")


def _command(command: click.Command, path: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, one in sorted(command.commands.items()):
            yield from _command(one, f"{path} {name}")
        return
    context = click.Context(command, info_name=path)
    arguments = [parameter.make_metavar(context) for parameter in command.params if isinstance(parameter, click.Argument)]
    yield from (f"**`{' '.join([path, *arguments])}`**", "", command.help or "", "")
    for option in command.params:
        if not isinstance(option, click.Option) or option.hidden or option.opts[0] in COMMON:
            continue
        if record := option.get_help_record(context):
            yield f"- `{record[0]}`" + (f": {record[1]}" if record[1] else "")
    yield ""


# --- the configuration


def _configuration() -> Iterator[str]:
    yield from (
        "# Configuration",
        "",
        "One YAML file (`--config`), checked by `patchbay config check`. Unknown keys are refused.",
        "",
    )
    yield from ("Each value can be set by an environment variable too: `PATCHBAY_LISTEN__PORT`, `PATCHBAY_DATABASE__URL`.", "")
    yield from ("YAML reads `0123`, `+4917` and `22:00` as numbers: put such texts into quotes.", "")
    yield from _section("(top level)", Settings, set())


def _section(title: str, model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    seen.add(model)
    yield from (
        f"## {title}",
        "",
        " ".join((model.__doc__ or "").replace("``", "`").split()),
        "",
        "| key | type | default |",
        "|---|---|---|",
    )
    parts: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        found = _model_in(field.annotation)
        if found is not None:
            parts.append((name, found))
        yield f"| `{name}` | {_field_type(field, found)} | {_default(field)} |"
    yield ""
    for name, found in parts:
        if found not in seen:
            yield from _section(name if title.startswith("(") else f"{title}.{name}", found, seen)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _model_in(part)) is not None:
            return found
    return None


def _field_type(field: FieldInfo, found: type[BaseModel] | None) -> str:
    text = str(field.annotation)
    if found is not None:
        return ("list of " if text.startswith("tuple") else "") + f"{found.__name__}, see below"
    if "Literal" in text:
        return " \\| ".join(f"`{value}`" for value in getattr(field.annotation, "__args__", ()))
    for word, name in (
        ("SecretStr", "secret"),
        ("Path", "path"),
        ("tuple", "list"),
        ("bool", "true or false"),
        ("int", "number"),
        ("float", "number"),
    ):
        if word in text:
            return name
    return "text"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if isinstance(field.default, BaseModel):
        return ""
    if field.default is None or field.default == ():
        return "none"
    return f"`{list(field.default) if isinstance(field.default, tuple) else field.default}`"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for file_name, text in pages().items():
        (folder / file_name).write_text(text)
