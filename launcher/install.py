"""Installs into ``.venv`` what ``make`` needs, by ``uv``, or by pip where there is no uv.

``python -m launcher.install [--torch] LOCK…`` runs on the Python of the machine, with nothing but
the standard library. The pip of ``.venv`` installs uv, and its configuration holds for uv, too.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK_OF_UV = ROOT / "launcher" / "requirements.lock"
WHERE_TORCH_IS_PINNED = ROOT / "workers" / "requirements.txt"
BACKEND = "UV_TORCH_BACKEND"
IMPATIENT = {"UV_HTTP_RETRIES": "0", "UV_HTTP_CONNECT_TIMEOUT": "2"}
"""For a look at an index that may be out of reach: no second try, and seconds."""
OF_PIP_AND_UV = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
}
"""Options of pip, and for each the variable of uv, and what separates several values there."""


def main(argv: list[str]) -> None:
    """Install locks, and with ``--torch`` the build of torch that suits this machine."""
    python = VENV / "bin" / "python"
    # A venv that was made without Debian's python3-venv has a Python, but no pip.
    if not python.with_name("pip").exists():
        done = subprocess.run([sys.executable, "-m", "venv", VENV], check=False)
        if done.returncode:
            sys.exit(f"Python could not make {VENV}; what it lacks is said above.")
    installer = Installer(python)
    for lock in argv:
        if lock != "--torch":
            installer.install("--require-hashes", "--no-deps", "-r", lock)
    if "--torch" in argv:
        lines = WHERE_TORCH_IS_PINNED.read_text(encoding="utf-8").splitlines()
        installer.install_torch(next(line for line in lines if line.startswith("torch==")))


class Installer:
    """Installs packages for one Python."""

    def __init__(self, python: Path, lock_of_uv: Path = LOCK_OF_UV) -> None:
        """Install uv, if it is to be had.

        Args:
            python: of a virtual environment that has pip.
            lock_of_uv: the lock that names uv.
        """
        self._pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
        self._uv = [str(python.with_name("uv")), "pip", "install", "--python", str(python)]
        options = pip_options(python)
        if options.get("no-index") in ("1", "true", "yes", "on"):  # which uv has no variable for
            self._uv.append("--no-index")
        # What is set for uv itself comes before what is set for pip.
        self._environment = {**uv_variables(options), **os.environ}
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            # pip does so always. Else each process would compile anew, for two seconds and more.
            self._environment.setdefault("UV_COMPILE_BYTECODE", "1")
        wanted = ["--quiet", "--require-hashes", "--no-deps", "-r", str(lock_of_uv)]
        self._has_uv = _succeeds([*self._pip, *wanted])
        if not self._has_uv:
            print("There is no uv for this machine, so pip installs, which takes longer.")

    def install(self, *wanted: str) -> None:
        """Install what arguments of both uv and pip say; exits if neither can."""
        if self._has_uv:
            if _succeeds([*self._uv, *wanted], self._environment):
                return
            print("uv could not install it, so pip tries.", flush=True)
        if not _succeeds([*self._pip, *wanted]):
            sys.exit("pip could not install it, either; the reason is above.")

    def install_torch(self, pin: str) -> None:
        """Install torch from PyTorch's index for this machine's GPU or CPU, which uv knows.

        Where that is out of reach, it comes from where pip is configured to look.
        """
        asked = os.environ.get(BACKEND)
        own = [*self._uv, "--torch-backend", asked or "auto", pin]
        if asked:
            if not (self._has_uv and _succeeds(own, self._environment)):
                sys.exit(f"torch was not installed as UV_TORCH_BACKEND={asked} says.")
            return
        if self._has_uv:
            seen = subprocess.run(
                [*own, "--dry-run"], env={**self._environment, **IMPATIENT},
                capture_output=True, check=False,
            )  # fmt: skip
            if seen.returncode == 0 and _succeeds(own, self._environment):
                return
            print(
                f"PyTorch's own index is out of reach or has no {pin} for this machine. It comes "
                "from where pip is configured to look, perhaps with gigabytes for NVIDIA GPUs.",
                flush=True,
            )
        self.install(pin)


def pip_options(python: Path) -> dict[str, str]:
    """Return what pip's configuration files and variables say for its command ``install``."""
    listed = subprocess.run(
        [python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.partition(".")
        if section in sections:
            sections[section][option] = str(ast.literal_eval(value))
    return {k: v for options in sections.values() for k, v in options.items()}


def uv_variables(options: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that have uv look where pip looks, and trust what pip trusts."""
    variables = {
        variable: separator.join(options[option].split())
        for option, (variable, separator) in OF_PIP_AND_UV.items()
        if options.get(option)
    }
    if "UV_INDEX" in variables:  # pip takes the best of all indexes; uv, that of the first one
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return variables


def _succeeds(command: Iterable[str], environment: Mapping[str, str] | None = None) -> bool:
    try:
        return subprocess.run(list(command), env=environment, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    main(sys.argv[1:])
