"""``python -m tests.ollama_standin --port 11434 --models gemma3,llava:7b --knobs '{"load_s": 2}'``.

Prints its URL, then serves until it is killed. ``GET /standin`` returns counts and requests,
``POST /standin`` sets knobs, ``POST /standin/restart`` restarts it.
"""

import argparse
import json
import threading

from tests.ollama_standin.server import OllamaStandin


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.ollama_standin")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--models", default="standin", help="names, separated by commas")
    parser.add_argument("--knobs", type=json.loads, default={}, help="JSON; see Knobs")
    options = parser.parse_args()
    with OllamaStandin(options.models.split(","), options.port, **options.knobs) as standin:
        print(standin.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
