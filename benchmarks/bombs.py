"""What a compressed bomb costs: time to read it and peak memory, beside the capture limit.

python -m benchmarks.bombs [MEGABYTES]
"""

from __future__ import annotations

import gzip
import sys
import time
import tracemalloc
import zlib

import brotli  # type: ignore[import-untyped]
import zstandard

from moesif_middleware.sansio import bodies

LIMIT = 100_000


def bombs(size: int) -> dict[str, bytes]:
    """Return by content encoding what decodes to ``size`` zeros."""
    zeros = bytes(size)
    return {
        "gzip": gzip.compress(zeros),
        "deflate": zlib.compress(zeros),
        "br": brotli.compress(zeros, quality=5),
        "zstd": zstandard.compress(zeros),
        "gzip, gzip": gzip.compress(gzip.compress(zeros)),
        "zstd, br": brotli.compress(zstandard.compress(zeros)),
        "br, gzip": gzip.compress(brotli.compress(zeros, lgwin=24)),
    }


def read(data: bytes, encoding: str) -> bodies.Body | None:
    """Read a bomb as the delivery thread does."""
    return bodies.read(data, total=len(data), content_type="", content_encoding=encoding, limit=LIMIT)


def main() -> None:
    """Print one line for each kind of bomb."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(f"{megabytes} MB of zeros, at most {LIMIT} bytes decoded")
    print(f"{'content encoding':<18}{'bytes':>10}{'best ms':>10}{'peak KB':>10}")
    for encoding, data in bombs(megabytes * 1_000_000).items():
        tracemalloc.start()
        read(data, encoding)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        best = min(_seconds(data, encoding) for _ in range(5))
        print(f"{encoding:<18}{len(data):>10}{best * 1000:>10.3f}{peak / 1000:>10.0f}")


def _seconds(data: bytes, encoding: str) -> float:
    before = time.perf_counter()
    read(data, encoding)
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
