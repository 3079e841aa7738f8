"""What the commands share: how to reach the API, how to show an answer, how to end.

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 unavailable.
"""

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
import httpx2

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_API = "http://127.0.0.1:8080"
TIMEOUT = httpx2.Timeout(30.0, connect=5.0)
FAILED, USAGE, NOT_FOUND, UNAVAILABLE = 1, 2, 3, 4


class Ended(click.ClickException):
    """A command that did not succeed.  ``problem``: what the API said, for ``--json``."""

    def __init__(self, message: str, code: int = FAILED, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = code  # click has it on the class
        self.problem = problem

    def show(self, file: Any = None) -> None:
        """On stderr, so that stdout stays one JSON document."""
        click.echo(f"patchbay: {self.message}", err=True)


class Api:
    """The API as a command uses it.  A context manager."""

    def __init__(self, base: str, key: str, as_json: bool) -> None:
        self.base, self.key, self.as_json = base.rstrip("/"), key, as_json
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx2.Client(base_url=self.base, headers=headers, timeout=TIMEOUT, trust_env=False)

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **query: Any) -> Any:
        """The answer's JSON (None for 204).  Raises Ended."""
        answer = self.raw(method, path, body, headers, **query)
        return answer.json() if answer.content else None

    def form(self, path: str, fields: Mapping[str, str]) -> Any:
        """The answer's JSON to a form that brings its own credentials.  Raises Ended."""
        request = self._client.build_request("POST", path, data=dict(fields))
        request.headers.pop("Authorization", None)
        try:
            answer = self._client.send(request)
        except httpx2.HTTPError as error:
            raise self.unreachable(error) from None
        if answer.status_code >= 400:
            _refused(answer)
        return answer.json()

    def raw(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **query: Any
    ) -> httpx2.Response:
        """The answer itself.  Raises Ended."""
        asked = {name.rstrip("_"): value for name, value in query.items() if value is not None}
        try:
            answer = self._client.request(method, path, json=body, params=asked, headers=dict(headers or {}))
        except httpx2.InvalidURL as error:
            raise Ended(f"{self.base} is no address: {error}", USAGE) from None
        except httpx2.HTTPError as error:
            raise self.unreachable(error) from None
        if answer.status_code >= 400:
            _refused(answer)
        return answer

    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """A download, as a context manager that gives the response.  Its errors are the caller's."""
        return self._client.stream("GET", path, headers=dict(headers or {}))

    def unreachable(self, error: Exception) -> Ended:
        """Nobody answers there."""
        return Ended(f"no answer from {self.base} ({type(error).__name__}): is `patchbay serve` running there?", UNAVAILABLE)

    def items(self, path: str, most: int | None, **query: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page by page, at most ``most``."""
        after, left = None, most
        while left is None or left > 0:
            answer = self.send("GET", path, after=after, limit=200 if left is None else min(left, 200), **query)
            yield from answer["items"]
            after = answer["next"]
            if after is None:
                return
            left = None if left is None else left - len(answer["items"])


def _refused(answer: httpx2.Response) -> NoReturn:
    answer.read()
    try:
        problem = answer.json()
        named = ("error", "error_description") if "error" in problem else ("code", "detail")
        message = ": ".join(problem[name] for name in named)
    except (ValueError, KeyError, TypeError):
        problem, message = None, f"HTTP {answer.status_code}"
    code = {404: NOT_FOUND, 429: UNAVAILABLE, 502: UNAVAILABLE, 503: UNAVAILABLE, 504: UNAVAILABLE}
    raise Ended(message, code.get(answer.status_code, FAILED), problem)


def _lab(folder: str | None) -> Mapping[str, Any]:
    if not folder:
        return {}
    try:
        found = json.loads((Path(folder) / "lab.json").read_text())
    except (OSError, ValueError):
        raise Ended(f"{folder} is no folder of a running lab", USAGE) from None
    return found if isinstance(found, dict) else {}


def connected(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command an ``api`` and the options that say where it is."""

    @click.option("--api", "base", metavar="URL", help=f"The controller's address [PATCHBAY_API, else {DEFAULT_API}].")
    @click.option("--key", metavar="KEY", help="An API key; better in PATCHBAY_API_KEY, where `ps` does not show it.")
    @click.option("--lab", metavar="DIR", help="Use the lab in this folder [PATCHBAY_LAB].")
    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @functools.wraps(command)
    def wrapped(*args: Any, base: str | None, key: str | None, lab: str | None, as_json: bool, **kwargs: Any) -> R:
        named = _lab(lab or (None if base or os.environ.get("PATCHBAY_API") else os.environ.get("PATCHBAY_LAB")))
        where = base or named.get("api") or os.environ.get("PATCHBAY_API") or DEFAULT_API
        who = key or named.get("api_key") or os.environ.get("PATCHBAY_API_KEY") or ""
        with Api(where, who, as_json) as api:
            try:
                return command(*args, api=api, **kwargs)
            except Ended as ended:
                if as_json and ended.problem is not None:
                    print_json(ended.problem)
                raise

    return wrapped


def print_json(value: Any) -> None:
    """One document on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[Any]], empty: str = "none") -> None:
    """Rows for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    if table.row_count:
        Console().print(table)
    else:
        click.echo(empty)


def show(api: Api, value: Any, lines: Mapping[str, Any]) -> None:
    """One thing: the whole of it as JSON, or ``lines`` for people."""
    if api.as_json:
        print_json(value)
        return
    width = max(map(len, lines), default=0)
    for name, what in lines.items():
        click.echo(f"{name:<{width}}  {'' if what is None else what}".rstrip())


def show_list(api: Api, items: Iterator[dict[str, Any]], columns: Mapping[str, Callable[[dict[str, Any]], Any]]) -> None:
    """A list: ``{"items": [...]}`` as JSON, or a table."""
    found = list(items)
    if api.as_json:
        print_json({"items": found})
    else:
        print_table(columns, ([cell(item) for cell in columns.values()] for item in found))


limited = click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most.")
