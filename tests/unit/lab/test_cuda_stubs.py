"""The library that stands in for CUDA's: the loader takes it, and its functions say that they failed."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).parents[3] / "lab" / "images" / "vllm" / "cuda_stubs.py"
pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="vLLM's image is for x86_64 Linux"
)


@pytest.fixture
def cuda_stubs() -> ModuleType:
    specification = importlib.util.spec_from_file_location("cuda_stubs", SOURCE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_function_is_found_and_returns_an_error(cuda_stubs: ModuleType, tmp_path: Path) -> None:
    names = [f"cublasDo{number}" for number in range(700)]
    (tmp_path / "stub.so").write_bytes(cuda_stubs.shared_library(names))
    library = ctypes.CDLL(str(tmp_path / "stub.so"))
    assert {library[name]() for name in names} == {1}
    with pytest.raises(AttributeError):
        _ = library.cublasMissing


def test_an_empty_library_passes_on_what_it_needs(cuda_stubs: ModuleType, tmp_path: Path) -> None:
    stub = tmp_path / "stub.so"
    stub.write_bytes(cuda_stubs.shared_library(["ncclInit"]))
    (tmp_path / "empty.so").write_bytes(cuda_stubs.shared_library([], needed=str(stub)))
    assert ctypes.CDLL(str(tmp_path / "empty.so")).ncclInit() == 1


def test_what_a_shared_object_wants_is_read_from_it(cuda_stubs: ModuleType) -> None:
    extension = importlib.util.find_spec("_ctypes")
    assert extension is not None
    assert extension.origin is not None
    libraries, symbols = cuda_stubs.wants(Path(extension.origin))
    assert "libc.so.6" in libraries
    assert "PyModule_Create2" in symbols or "PyModuleDef_Init" in symbols
    assert "PyInit__ctypes" not in symbols, "it defines this one itself"


def test_the_driver_itself_is_never_faked(cuda_stubs: ModuleType) -> None:
    assert cuda_stubs.LIBRARY.fullmatch("libcublas.so.13")
    assert not cuda_stubs.LIBRARY.fullmatch("libcuda.so.1")
    assert not cuda_stubs.LIBRARY.fullmatch("libcudart.so.13")
