"""Deflate: any zlib reads it, and no process and no thread gets other bytes."""

import subprocess
import sys
import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omics_datastore.curriculum.deflate import deflate

# Thirteen little-endian int32 after the byte shuffle: one process in a hundred once compressed them another way.
SMALL = bytes.fromhex("00010200010200010201020304") + bytes(39)
PROGRAM = f"""
import threading
from omics_datastore.curriculum.deflate import deflate
seen = []
def compress():
    seen.append(deflate(bytes.fromhex("{SMALL.hex()}")))
compress()
for number in range(24):
    threading.stack_size(2**18 + 2**12 * number)
    thread = threading.Thread(target=compress)
    thread.start()
    thread.join()
print(*{{each.hex() for each in seen}})
"""


@given(st.binary(max_size=2000), st.integers(1, 300))
def test_zlib_reads_it(content: bytes, times: int) -> None:
    assert zlib.decompress(deflate(content * times)) == content * times


def test_an_array_is_compressed_as_its_bytes() -> None:
    planes = np.arange(50_000, dtype=np.int32).view(np.uint8).reshape(-1, 4).T.copy()
    assert deflate(planes) == deflate(planes.tobytes())


def test_the_same_bytes_in_every_process_and_thread() -> None:
    # The place of the stack differs from process to process and from thread to thread.
    programs = [subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) for _ in range(48)]
    assert {program.communicate()[0].strip() for program in programs} == {deflate(SMALL).hex()}
    assert all(program.returncode == 0 for program in programs)
