"""What `make` installs, and from where: real pip and uv, a folder of tiny wheels, no network."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from launcher.install import BACKEND, Installer, pip_options, uv_variables
from tests.stack import ROOT

NOWHERE = "http://127.0.0.1:1"
PYTHON = Path(sys.executable)


def wheel(folder: Path, name: str, version: str = "1.0") -> str:
    """Write a wheel with an empty module; returns its line in a lock."""
    info, path = f"{name}-{version}.dist-info", folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{name}.py", "")
        names = (f"{name}.py", *(f"{info}/{file}" for file in ("METADATA", "WHEEL", "RECORD")))
        file.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment of its own, with the uv of this one."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (folder / "bin" / "uv").symlink_to(PYTHON.with_name("uv"))
    return folder / "bin" / "python"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip is told to look in, and in nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    for name in ("ALL_PROXY", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.delenv(BACKEND, raising=False)
    return folder


@pytest.fixture
def installer(venv: Path, wheels: Path, tmp_path: Path) -> Installer:
    (tmp_path / "uv.lock").write_text(wheel(wheels, "standing_in_for_uv"))
    return Installer(venv, tmp_path / "uv.lock")


@pytest.fixture
def index(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip is told of an index, too, which has torch; PyTorch's own is out of reach."""
    wheel(wheels, "torch", "2.13.0+cpu")
    page = tmp_path / "simple" / "torch" / "index.html"
    page.parent.mkdir(parents=True)
    (path,) = wheels.glob("torch-*")
    page.write_text(f'<!DOCTYPE html><html><body><a href="{path.as_uri()}">{path.name}</a>')
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())


def installed(venv: Path) -> str:
    return subprocess.check_output([venv, "-m", "pip", "list"], text=True)


@pytest.mark.slow
def test_uv_looks_where_pip_looks_and_takes_only_what_the_lock_names(
    installer: Installer,
    venv: Path,
    wheels: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lock = tmp_path / "a.lock"
    lock.write_text(wheel(wheels, "apple"))
    installer.install("--require-hashes", "--no-deps", "-r", str(lock))
    assert "apple" in installed(venv)
    assert "pip" not in (said := capfd.readouterr()).out, said

    lock.write_text(wheel(wheels, "pear").replace("sha256:", "sha256:00")[:-3] + "\n")
    with pytest.raises(SystemExit):
        installer.install("--require-hashes", "--no-deps", "-r", str(lock))
    assert "pear" not in installed(venv)


@pytest.mark.slow
def test_uv_compiles_where_python_may_not_keep_what_it_compiles_itself(
    venv: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "uv.lock").write_text(wheel(wheels, "standing_in_for_uv"))
    (tmp_path / "c.lock").write_text(wheel(wheels, "cherry"))
    Installer(venv, tmp_path / "uv.lock").install(
        "--require-hashes", "--no-deps", "-r", str(tmp_path / "c.lock")
    )
    assert list(venv.parent.parent.rglob("__pycache__/cherry.*.pyc"))


@pytest.mark.slow
def test_pip_installs_where_there_is_no_uv(
    venv: Path, wheels: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "uv.lock").write_text(f"uv==0.0.1 --hash=sha256:{'0' * 64}\n")
    (tmp_path / "b.lock").write_text(wheel(wheels, "banana"))
    Installer(venv, tmp_path / "uv.lock").install(
        "--require-hashes", "-r", str(tmp_path / "b.lock")
    )
    assert "banana" in installed(venv)
    assert "There is no uv" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("index")
def test_a_build_of_torch_that_was_asked_for_is_not_replaced_by_another(
    installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BACKEND, "cu126")
    with pytest.raises(SystemExit, match="as UV_TORCH_BACKEND=cu126 says"):
        installer.install_torch("torch==2.13.0")


@pytest.mark.slow
@pytest.mark.usefixtures("index")
def test_torch_comes_from_where_pip_looks_if_pytorch_is_out_of_reach(
    installer: Installer, venv: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    installer.install_torch("torch==2.13.0")
    assert "2.13.0+cpu" in installed(venv)
    said = capfd.readouterr()
    assert "out of reach" in said.out
    assert "error" not in said.err


def test_pips_configuration_becomes_that_of_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_FIND_LINKS", "PIP_CERT", "PIP_DEFAULT_TIMEOUT", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://a.example/simple\ntrusted-host = a.example\ntimeout = 60\n"
        "find-links = /nowhere\n[install]\nfind-links =\n    /x\n    /y\n[download]\ncert = /no\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://b.example/simple https://c.example/simple")
    monkeypatch.setenv("PIP_TIMEOUT", "90")
    options = pip_options(PYTHON)
    ours = {"index-url", "trusted-host", "timeout", "find-links", "extra-index-url"}
    assert uv_variables({name: options[name] for name in ours}) == {
        "UV_DEFAULT_INDEX": "https://a.example/simple",
        "UV_INDEX": "https://b.example/simple https://c.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "a.example",
        "UV_HTTP_TIMEOUT": "90",
        "UV_FIND_LINKS": "/x,/y",
    }
    assert options.get("cert") != "/no"


def test_it_runs_on_the_standard_library_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import runpy; runpy.run_path('launcher/install.py')"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
