"""The house's own rules that no tool has: sizes, import cycles, what `core` may import.  Run by `make check`.

    python tests/check/house.py [ROOT]

Breaking a rule is told with file and line, and ends in exit code 1.  Medians and test:code are printed for whoever cares.
Generated migrations are exempt.
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LONGEST_FILE = 350
LONGEST_FUNCTION = 60
GENERATED = "controller/store/migrations/versions"
NOT_PURE = {"asyncio", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "signal", "socket"}
NOT_PURE |= {"ssl", "subprocess", "sys", "tempfile", "threading", "time", "uuid"}  # no I/O, no clock, no randomness


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path
    name: str  # as imported
    lines: int
    tree: ast.Module

    def functions(self) -> Iterator[tuple[int, int, str]]:
        """(line, number of lines, name) of each function, its decorators and docstring included."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                yield node.lineno, (node.end_lineno or first) - first + 1, node.name

    def imports(self) -> Iterator[tuple[int, str]]:
        """(line, module) of each import that runs when this module is loaded; what only type checkers see is left out."""
        yield from _imports(self.tree.body, self.name, self.path.name == "__init__.py")


def _imports(body: list[ast.stmt], name: str, is_package: bool) -> Iterator[tuple[int, str]]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                up = node.level - 1 if is_package else node.level
                base = name.split(".")[: len(name.split(".")) - up]
                module = ".".join([*base, module] if module else base)
            yield node.lineno, module
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _imports(node.orelse, name, is_package)
        else:
            for part in ("body", "orelse", "finalbody"):
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    inner = getattr(node, part, [])
                    yield from _imports([one for one in inner if isinstance(one, ast.stmt)], name, is_package)


def sources(root: Path, *tops: str) -> list[Source]:
    """The Python files below ``tops``, generated ones left out."""
    found = []
    for top in tops:
        start = root / top
        for path in sorted([start] if start.is_file() else start.rglob("*.py")):
            relative = path.relative_to(root)
            if relative.as_posix().startswith(GENERATED):
                continue
            text = path.read_text()
            name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
            found.append(Source(relative, name, len(text.splitlines()), ast.parse(text, str(path))))
    return found


def too_long(files: list[Source]) -> list[str]:
    """Files and functions beyond the limits."""
    faults = [f"{file.path}:1: {file.lines} lines, at most {LONGEST_FILE}" for file in files if file.lines > LONGEST_FILE]
    for file in files:
        for line, length, name in file.functions():
            if length > LONGEST_FUNCTION:
                faults.append(f"{file.path}:{line}: {name} has {length} lines, at most {LONGEST_FUNCTION}")
    return faults


def impure(files: list[Source]) -> list[str]:
    """What `controller.core` imports and should not: anything but itself and the pure part of the standard library."""
    faults = []
    for file in files:
        if not file.name.startswith("controller.core"):
            continue
        for line, module in file.imports():
            top = module.split(".")[0]
            ours = module == "controller" or module.startswith("controller.core")
            if not ours and (top == "controller" or top not in sys.stdlib_module_names or top in NOT_PURE):
                faults.append(f"{file.path}:{line}: core is pure, and imports {module}")
    return faults


def cycles(files: list[Source]) -> list[str]:
    """Modules that import each other, each ring once (Tarjan's strongly connected components)."""
    names = {file.name for file in files}
    edges = {file.name: sorted({module for _, module in file.imports()} & names - {file.name}) for file in files}
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    rings: list[str] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in edges[name]:
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            ring = [stack.pop()]
            while ring[-1] != name:
                ring.append(stack.pop())
            if len(ring) > 1:
                rings.append(f"import cycle: {' -> '.join(sorted(ring))}")

    for name in sorted(edges):
        if name not in order:
            visit(name)
    return rings


def figures(code: list[Source], tests: list[Source]) -> str:
    """Medians and the like, for reading."""

    def spread(values: list[int]) -> str:
        ordered = sorted(values)
        return f"median {statistics.median(ordered):.0f}, p90 {ordered[int(len(ordered) * 0.9)]}, max {ordered[-1]}"

    lengths = [length for file in code for _, length, _ in file.functions()]
    lines, test_lines = (sum(file.lines for file in files) for files in (code, tests))
    return (
        f"files      {len(code)}: {spread([file.lines for file in code])} lines\n"
        f"functions  {len(lengths)}: {spread(lengths)} lines; {sum(length > 50 for length in lengths)} over 50\n"
        f"test:code  {test_lines}:{lines} = {test_lines / lines:.2f}"
    )


def main(root: Path) -> int:
    """Check the tree at ``root``, print, and answer the exit code."""
    code, tests = sources(root, "controller", "cli.py"), sources(root, "tests")
    faults = too_long(code + tests) + impure(code) + cycles(code)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(figures(code, tests))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]))
