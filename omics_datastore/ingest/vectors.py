"""One-dimensional HDF5 datasets read in slices, past the HDF5 library where its filters are plain gzip.

A chunk with the filters (shuffle,) gzip is read with ``pread`` and inflated by ISA-L, which gives up the
interpreter lock and is faster than zlib inside HDF5. Everything else goes through h5py.
"""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

from omics_datastore.ingest.refusal import RefusedSourceError
from omics_datastore.ingest.source_file import refuse_damage

_ZLIB_WINDOW_BITS = 15
_INFLATE_ERROR: type[Exception] = igzip_lib.IsalError  # type: ignore[assignment]  # the stub declares an instance
_SLAB_BYTES = 8 * 2**20
_BEST_RATIO = 1032
"""How many bytes deflate makes of one at most."""


class VectorReader:
    """Read slices of a one-dimensional numeric dataset.

    :param dataset: The dataset, of an open file.
    :param path: The file, opened a second time for direct reads.
    :param chunk_limit: Refuse chunks that inflate to more.
    :param kinds: NumPy kinds that its dtype may have.
    :raise RefusedSourceError: When the dataset is not a vector of such numbers, or its chunks are too large.
    """

    def __init__(self, dataset: h5py.Dataset, path: Path, chunk_limit: int, kinds: str) -> None:
        if dataset.shape is None or dataset.ndim != 1 or dataset.dtype.kind not in kinds:
            what = "numbers" if "f" in kinds else "integers"
            raise RefusedSourceError(
                "matrix_structure",
                f"{dataset.name} must be a vector of {what}, not {dataset.dtype} {dataset.shape}; "
                "write the file again.",
            )
        self.name = str(dataset.name)
        self.length = int(dataset.shape[0])
        self.dtype: np.dtype[Any] = dataset.dtype
        self._dataset = dataset
        self._descriptor = -1
        self._chunk = int(dataset.chunks[0]) if dataset.chunks else 0
        self._shuffle = False
        self._cached: tuple[int, NDArray[Any]] | None = None
        self._chunk_limit = chunk_limit
        if self._chunk * self.dtype.itemsize > chunk_limit:
            raise RefusedSourceError(
                "matrix_structure",
                f"{self.name} has chunks of {self._chunk} values, more than the {chunk_limit} bytes that may be read "
                "at once; rewrite the file with smaller chunks or raise the memory limit.",
            )
        if self._is_plain_gzip():
            self._offsets, self._sizes = self._chunk_table()
            self._descriptor = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        """Close the second file handle."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return a slice.

        :param start: First position.
        :param stop: Position after the last, at most the length.
        :return: Array of shape (stop - start,) in the dataset's dtype.
        :raise RefusedSourceError: When the bytes cannot be inflated.
        """
        with refuse_damage(f"{self.name} between values {start} and {stop}"):
            if self._descriptor < 0:
                return np.asarray(self._dataset[start:stop])
            return self._read_chunks(start, stop)

    def _is_plain_gzip(self) -> bool:
        dataset = self._dataset
        if not self._chunk or self.length == 0 or dataset.dtype.newbyteorder("=") != dataset.dtype:
            return False
        if dataset.file.userblock_size:  # chunks are then placed relative to its end
            return False
        filters = dataset.id.get_create_plist()
        codes = [filters.get_filter(index)[0] for index in range(filters.get_nfilters())]
        self._shuffle = codes == [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE]
        return self._shuffle or codes == [h5py.h5z.FILTER_DEFLATE]

    def _chunk_table(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        count = -(-self.length // self._chunk)
        offsets = np.full(count, -1, np.int64)
        sizes = np.zeros(count, np.int64)

        def note(stored: Any) -> None:
            index = stored.chunk_offset[0] // self._chunk
            if stored.filter_mask == 0 and index < count:
                offsets[index], sizes[index] = stored.byte_offset, stored.size

        with refuse_damage(f"the list of chunks of {self.name}"):
            self._dataset.id.chunk_iter(note)
        return offsets, sizes

    def _read_chunks(self, start: int, stop: int) -> NDArray[Any]:
        values = np.empty(stop - start, self.dtype)
        for index in range(start // self._chunk, -(-stop // self._chunk)):
            first = index * self._chunk
            chunk = self._inflate(index)
            low, high = max(start, first), min(stop, first + self._chunk)
            values[low - start : high - start] = chunk[low - first : high - first]
        return values

    def _inflate(self, index: int) -> NDArray[Any]:
        if self._cached is not None and self._cached[0] == index:
            return self._cached[1]
        if self._offsets[index] < 0:  # never written, or written past a filter: HDF5 knows what it means
            first = index * self._chunk
            chunk = np.asarray(self._dataset[first : first + self._chunk])
        else:
            size = self._chunk * self.dtype.itemsize
            plain = self._plain(index, size)
            if len(plain) != size:
                more = "more than" if len(plain) > size else f"{len(plain)} bytes instead of"
                raise OSError(f"chunk {index} holds {more} {size}")
            octets = np.frombuffer(plain, np.uint8)
            if self._shuffle:
                octets = np.ascontiguousarray(octets.reshape(self.dtype.itemsize, self._chunk).T)
            chunk = octets.reshape(-1).view(self.dtype)
        self._cached = (index, chunk)
        return chunk

    def _plain(self, index: int, size: int) -> bytes:
        """Inflate a chunk, but not to much more than it must have."""
        packed = int(self._sizes[index])
        if packed > size + size // 8 + 4096:
            raise OSError(f"chunk {index} is stored in {packed} bytes for {size}")
        stored = os.pread(self._descriptor, packed, int(self._offsets[index]))
        try:
            if packed * _BEST_RATIO <= self._chunk_limit:
                return isal_zlib.decompress(stored, _ZLIB_WINDOW_BITS, size)
            inflate = isal_zlib.decompressobj(_ZLIB_WINDOW_BITS)
            plain = inflate.decompress(stored, size + 1)
        except _INFLATE_ERROR as error:
            raise OSError(str(error)) from error
        if not inflate.eof and len(plain) <= size:
            raise OSError(f"chunk {index} is cut off")
        return plain


def slab_length(dtype: np.dtype[Any]) -> int:
    """Return how many values of a dtype are read at once when a vector is only looked through.

    :param dtype: Dtype of the vector.
    :return: Number of values in 8 MiB.
    """
    return _SLAB_BYTES // dtype.itemsize
