"""One real Asterisk in a folder of its own, from the cached root (`asterisk-root.sh`), with the configuration it is given."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from controller.lab import process

SCRIPT = Path(__file__).with_name("asterisk-root.sh")
_OWN = ("lib", "db", "key/keys", "cache", "agi", "tmp", "run", "log", "spool")  # what Asterisk writes into
_SPOOL = ("monitor", "recording", "tmp", "outgoing", "system", "voicemail")
_LOG = ("cdr-csv", "cdr-custom", "cel-custom")
_EMPTY = (  # files that Asterisk complains about when they are not there
    *(
        "features",
        "musiconhold",
        "acl",
        "udptl",
        "ccss",
        "stasis",
        "pjproject",
        "cli_permissions",
        "codecs",
        "dsp",
        "indications",
    ),
    *(
        "sorcery",
        "cdr",
        "cel",
        "http",
        "res_pjsip",
        "cdr_custom",
        "confbridge",
        "amd",
        "say",
        "enum",
        "stir_shaken",
        "geolocation",
    ),
)


class AsteriskFailed(RuntimeError):
    """Asterisk could not be got, started or stopped."""


def asterisk_root(say: bool = True) -> Path:
    """The folder with Asterisk, fetched now if it is not cached yet.  Raises AsteriskFailed."""
    errors = None if say else subprocess.PIPE
    got = subprocess.run(["bash", SCRIPT], stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
    if got.returncode:
        raise AsteriskFailed(f"no Asterisk could be fetched:\n{got.stderr or ''}")
    return Path(got.stdout.strip())


def version(root: Path) -> str:
    """Which Asterisk a root holds, for example `Asterisk 22.10.1`."""
    told: subprocess.CompletedProcess[str] = subprocess.run(
        [root / "asterisk", "-V"], capture_output=True, text=True, timeout=20, check=True
    )
    return told.stdout.strip()


class Asterisk:
    """One instance.

    ``files``: configuration by file name, put beside our own asterisk.conf.  As root it runs as `nobody`, where that user can
    reach ``folder``.
    """

    def __init__(self, folder: Path, root: Path, files: Mapping[str, str], name: str = "lab") -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self._files = dict(files)
        self._name = name
        user = process.unprivileged()
        self.user = user if user and process.reachable(self.folder) else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process, if it was started."""
        return self._process.pid if self._process else None

    def write(self) -> None:
        """Make the folders and write the configuration."""
        etc = self.folder / "etc"
        for name in (*_OWN, *(f"spool/{sub}" for sub in _SPOOL), *(f"log/{sub}" for sub in _LOG), "etc"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for shared in (self.root / "usr/share/asterisk").iterdir():
            link = self.folder / "lib" / shared.name
            if not link.is_symlink():
                link.symlink_to(shared)
        empty = {f"{name}.conf": "; nothing to say\n" for name in _EMPTY}
        for name, text in {**empty, **self._files, "asterisk.conf": self._asterisk_conf()}.items():
            path = etc / name
            path.write_text(text)
            path.chmod(0o640)
        self._give_away()

    def start(self, ready_within_s: float = process.READY_WITHIN_S) -> None:
        """Start it and wait until it is fully booted.  Raises AsteriskFailed."""
        self.write()
        command: list[str | Path] = [self.root / "asterisk", "-C", self._conf, "-f", "-n"]
        env = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TZ")}
        env["HOME"] = str(self.folder)
        self._process = process.start(command, self.folder / "log" / "stdout", self.folder, self.user, env=env)
        self._wait_until_booted(self._process, ready_within_s)

    def ctl(self, command: str, timeout_s: float = 10.0) -> str:
        """What its console answers to ``command``.  Raises AsteriskFailed when nobody answers."""
        words: list[str | Path] = [self.root / "asterisk", "-C", self._conf, "-rx", command]
        try:
            told = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise AsteriskFailed(f"Asterisk's console does not answer within {timeout_s} s") from error
        if told.returncode:
            raise AsteriskFailed(f"Asterisk's console: {told.stdout}{told.stderr}")
        return told.stdout

    def ended(self) -> bool:
        """Whether it has ended by itself, or never ran."""
        return self._process is None or self._process.poll() is not None

    def stop(self) -> None:
        """End it and its calls."""
        process.stop(self._process, patience_s=5.0)
        self._process = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            process.kill(self._process)
            self._process = None

    def restart(self) -> None:
        """Stop it if it runs, and start it with the same configuration."""
        self.stop()
        self.start()

    @property
    def _conf(self) -> Path:
        return self.folder / "etc" / "asterisk.conf"

    def _wait_until_booted(self, started: subprocess.Popen[bytes], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while True:
            try:
                self.ctl("core waitfullybooted", timeout_s=within_s)
                return
            except AsteriskFailed as failure:
                if started.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.02)  # its console socket is not there yet; nothing says when it will be
                    continue
                process.kill(started)
                raise AsteriskFailed(f"Asterisk does not start: {failure}\n{self._last_words()}") from failure

    def _last_words(self) -> str:
        return (self.folder / "log" / "stdout").read_text(errors="replace")[-2000:]

    def _give_away(self) -> None:
        """Let the user that it runs as write where it must, and read its configuration."""
        if self.user is None:
            return
        for top in (*_OWN, "etc"):
            for folder, _, files in os.walk(self.folder / top.partition("/")[0]):
                for path in (folder, *(os.path.join(folder, name) for name in files)):
                    os.chown(path, self.user.uid, self.user.gid, follow_symlinks=False)

    def _asterisk_conf(self) -> str:
        modules = next(self.root.glob("usr/lib/*/asterisk/modules"))
        here = self.folder
        return f"""[directories]
astcachedir => {here}/cache
astetcdir => {here}/etc
astmoddir => {modules}
astvarlibdir => {here}/lib
astdbdir => {here}/db
astkeydir => {here}/key
astdatadir => {self.root}/usr/share/asterisk
astagidir => {here}/agi
astspooldir => {here}/spool
astrundir => {here}/run
astlogdir => {here}/log
astsbindir => {self.root}/usr/sbin
[options]
nocolor = yes
live_dangerously = no
systemname = {self._name}
documentation_language = en_US
hideconnect = yes
maxfiles = 20000
"""
