"""Gives torch's CUDA build something to link with in place of 4 GB of CUDA libraries.

PyPI's torch for x86_64 Linux is linked against cuBLAS, cuDNN, NCCL and others, and the loader wants every one of their
functions when torch is imported, though none is ever called on a machine without a card. This writes one small shared
library that has all those names, each a function that returns an error, and an empty one that needs it and stands
under every missing file name. (They are two because glibc refuses a library without symbol versions if it has the very
file name from which a version is wanted.)
libcudart stays real: it is what torch asks for cards. It needs no compiler: the file is written byte by byte.
"""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

# libcuda.so.1, the driver, isn't among them: it must stay absent, so that libcudart sees that there is none.
LIBRARY = re.compile(
    r"lib(cublas|cublasLt|cudnn|cufft|cufile|cupti|curand|cusolver|cusparse|cusparseLt|nccl|nvrtc|nvshmem_host)\.so\.\d+"
)
FUNCTION = re.compile(r"(cublas|cudnn|cufft|cuFile|cupti|curand|cusolver|cusparse|nccl|nvrtc|nvshmem)\w+")
RETURN_1 = b"\xb8\x01\x00\x00\x00\xc3"  # mov eax, 1; ret: every one of these interfaces has 0 for success
PAGE = 0x1000
SHT_DYNAMIC, SHT_DYNSYM, DT_NEEDED = 6, 11, 1


def wants(path: Path) -> tuple[set[str], set[str]]:
    """The file names of the libraries that a shared object needs, and the symbols that it expects from others."""
    image = path.read_bytes()
    (table,) = struct.unpack_from("<Q", image, 0x28)
    size, count = struct.unpack_from("<HH", image, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, table + index * size) for index in range(count)]
    libraries, symbols = set(), set()

    def text(section: int, offset: int) -> str:
        start = sections[section][4] + offset
        return image[start : image.index(b"\0", start)].decode()

    for _, kind, _, _, offset, length, link, _, _, _ in sections:
        if kind == SHT_DYNAMIC:
            for tag, value in struct.iter_unpack("<QQ", image[offset : offset + length]):
                if tag == DT_NEEDED:
                    libraries.add(text(link, value))
        elif kind == SHT_DYNSYM:
            for name, _, _, defined_in, _, _ in struct.iter_unpack("<IBBHQQ", image[offset : offset + length]):
                if defined_in == 0 and name:
                    symbols.add(text(link, name))
    return libraries, symbols


def elf_hash(name: str) -> int:
    """The hash of the System V ABI."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


def shared_library(names: list[str], needed: str = "") -> bytes:
    """An ELF file for x86_64: all ``names`` as functions that return 1, and the library ``needed`` beside it."""
    strings, name_at = b"\0", {}
    for name in (*names, needed):
        name_at[name] = len(strings)
        strings += name.encode() + b"\0"
    headers = 64 + 4 * 56
    code_at = headers
    symbols_at = code_at + 16
    symbols = bytes(24)
    for name in names:
        symbols += struct.pack("<IBBHQQ", name_at[name], 0x12, 0, 1, code_at, len(RETURN_1))  # global function
    hash_at = symbols_at + len(symbols)
    buckets, chains = [0] * (len(names) or 1), [0] * (len(names) + 1)
    for index, name in enumerate(names, start=1):
        bucket = elf_hash(name) % len(buckets)
        chains[index], buckets[bucket] = buckets[bucket], index
    hashes = struct.pack(f"<II{len(buckets) + len(chains)}I", len(buckets), len(chains), *buckets, *chains)
    strings_at = hash_at + len(hashes)
    read_only = strings_at + len(strings)
    dynamic_at = -(-read_only // PAGE) * PAGE  # a page of its own: the loader writes into it
    entries = [(4, hash_at), (5, strings_at), (6, symbols_at), (10, len(strings)), (11, 24)]  # DT_HASH, DT_STRTAB, …
    if needed:
        entries.append((DT_NEEDED, name_at[needed]))
    dynamic = b"".join(struct.pack("<QQ", tag, value) for tag, value in (*entries, (0, 0)))
    header = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 4, 0, 0, 0)
    )
    segments = b"".join(
        struct.pack("<IIQQQQQQ", kind, flags, at, at, at, length, length, alignment)
        for kind, flags, at, length, alignment in (
            (1, 5, 0, read_only, PAGE),  # PT_LOAD, read and execute
            (1, 6, dynamic_at, len(dynamic), PAGE),  # PT_LOAD, read and write
            (2, 6, dynamic_at, len(dynamic), 8),  # PT_DYNAMIC
            (0x6474E551, 6, 0, 0, 16),  # PT_GNU_STACK: no executable stack
        )
    )
    body = header + segments + RETURN_1.ljust(16, b"\0") + symbols + hashes + strings
    return body.ljust(dynamic_at, b"\0") + dynamic


def main(site_packages: Path) -> None:
    directory = site_packages / "torch" / "lib"
    libraries: set[str] = set()
    functions: set[str] = set()
    for path in directory.glob("*.so*"):
        needed, expected = wants(path)
        libraries |= {name for name in needed if LIBRARY.fullmatch(name)}
        functions |= {name for name in expected if FUNCTION.fullmatch(name)}
    stub, empty = directory / "libcuda_stubs.so", directory / "libcuda_empty.so"
    stub.write_bytes(shared_library(sorted(functions)))
    empty.write_bytes(shared_library([], needed=stub.name))
    for name in libraries:
        (directory / name).symlink_to(empty.name)
    print(f"{len(functions)} functions of {len(libraries)} CUDA libraries: {', '.join(sorted(libraries))}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
