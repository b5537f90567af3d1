"""`vllm serve` on a CPU, for a test and a benchmark. It needs the environment of `make vllm`."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen


NAME = "smollm2"  # of the served model
_START_SECONDS = 300


@contextmanager
def serve(model: Path, log: Path, *options: str) -> Iterator[str]:
    """Serve a model under `NAME` until the block ends, and yield the address without `/v1`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = "http://127.0.0.1:{1}".format(*free.getsockname())
    command = [
        Path(sys.executable).parent / "vllm",
        "serve",
        model,
        "--served-model-name",
        NAME,
        "--host",
        "127.0.0.1",
    ]
    fixed = ["--port", url.rpartition(":")[2], "--dtype", "float32", "--enforce-eager", "--max-model-len", "2048"]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as output:
        server = subprocess.Popen([*command, *fixed, *options], env=environment, stdout=output, stderr=output)
    try:
        _wait(f"{url}/health", server, log)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError(f"vllm serve did not start: {log.read_text()[-3000:]}")
