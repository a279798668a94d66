"""What becomes of files on their way to a folder of weights."""

import json
from collections.abc import Callable

LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
LOGIN_PAGE = b"\n<!DOCTYPE html>\n<html><head><title>Log in</title></head><body></body></html>\n"
ERROR_REPORT = b'{"error": "Too many requests"}'

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "git-lfs-pointer": lambda _: LFS_POINTER,
    "login-page": lambda _: LOGIN_PAGE,
}


def safetensors(*names: str, size: int = 4) -> bytes:
    """A file of weights with a tensor of ``size`` bytes for each name."""
    tensors = {
        name: {"dtype": "U8", "shape": [size], "data_offsets": [size * n, size * (n + 1)]}
        for n, name in enumerate(names)
    }
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size * len(names))
