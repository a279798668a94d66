"""Whatever strangers send is decoded or refused: no other error, no crash, bounded memory."""

import subprocess
import sys

from tests.stack import ROOT

FILES = 2000


def test_mutated_files_are_decoded_or_refused() -> None:
    argv = [sys.executable, "-m", "tests.shared.images.fuzz", str(FILES), "1"]

    done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=False, text=True)

    assert done.returncode == 0, done.stderr[-2000:]
    decoded, refused = map(int, done.stdout.split())
    assert decoded + refused == FILES
    assert min(decoded, refused) > FILES // 10
