"""What workers share and compute has the same bits whatever their processor and libraries are."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest
from helpers.digests import digests, digests_under

# Each stands for a kind of host: how many threads and which kernels BLAS has, which vectors NumPy
# and the C library find.
HOSTS = {
    "one thread": {"OPENBLAS_NUM_THREADS": "1"},
    "two threads": {"OPENBLAS_NUM_THREADS": "2"},
    "BLAS of Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "BLAS of Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "NumPy without AVX": {
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX2 FMA3 AVX512F AVX512CD AVX512_SKX"
    },
    "C library without FMA": {
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F,-AVX512VL"
    },
}
# Kernels compiled for another processor, without fused operations.
COMPILED = {
    "nehalem": {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": "+sse4.2"},
}

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the settings are those of x86_64"
)


@pytest.fixture(scope="module")
def here() -> dict[str, str]:
    return digests()


def assert_equal(others: dict[str, str], here: dict[str, str]) -> None:
    assert others.keys() == here.keys()
    assert [name for name in here if others[name] != here[name]] == []


def test_a_host_of_another_kind_gives_the_same_bits(here: dict[str, str]) -> None:
    old = ("one thread", "BLAS of Prescott", "NumPy without AVX", "C library without FMA")
    assert_equal(
        digests_under({name: value for host in old for name, value in HOSTS[host].items()}), here
    )


@pytest.mark.slow
def test_workers_give_the_same_bits(client: Any, here: dict[str, str]) -> None:
    assert_equal(client.submit(digests, pure=False).result(), here)


@pytest.mark.slow
@pytest.mark.parametrize("host", HOSTS)
def test_each_difference_between_hosts(host: str, here: dict[str, str]) -> None:
    assert_equal(digests_under(HOSTS[host]), here)


@pytest.mark.slow
@pytest.mark.parametrize("processor", COMPILED)
def test_kernels_compiled_for_another_processor(
    processor: str, here: dict[str, str], tmp_path: Path
) -> None:
    settings = {**COMPILED[processor], "NUMBA_CACHE_DIR": str(tmp_path)}
    assert_equal(digests_under(settings), here)
