"""LZF decompression, for compressed PCD files: runs of literal bytes and copies of earlier output."""


class LzfError(ValueError):
    """The compressed bytes are damaged or do not decompress to the expected size."""


def decompress(packed: bytes, size: int) -> bytearray:
    """The `size` bytes that `packed` decompresses to; LzfError if it does not.

    A control byte below 32 is followed by that many literal bytes plus one. A larger control byte is a copy: its upper
    three bits are the length minus two (if they are 7, the next byte is added). Its lower five bits and the byte that
    follows, the low one, are the distance back minus one.
    """
    output = bytearray(size)
    read, written, num_packed = 0, 0, len(packed)
    try:
        while read < num_packed:
            control = packed[read]
            read += 1
            if control < 32:
                length = control + 1
                if read + length > num_packed or written + length > size:
                    raise LzfError(f"a run of {length} bytes at byte {read} passes the end")
                output[written : written + length] = packed[read : read + length]
                read += length
            else:
                length = control >> 5
                if length == 7:
                    length += packed[read]
                    read += 1
                length += 2
                source = written - ((control & 31) << 8) - packed[read] - 1
                read += 1
                if source < 0 or written + length > size:
                    raise LzfError(f"a copy of {length} bytes at byte {read} reaches outside")
                _copy_within(output, source, written, length)
            written += length
    except IndexError:
        raise LzfError("the data ends within a copy") from None
    if written != size:
        raise LzfError(f"{written} bytes came out, {size} expected")
    return output


def _copy_within(output: bytearray, source: int, written: int, length: int) -> None:
    """Copies `length` bytes of earlier output from `source` to `written`; where the two overlap, the bytes repeat."""
    distance = written - source
    if distance >= length:
        output[written : written + length] = output[source : source + length]
    else:
        pattern = output[source:written]
        repeats = length // distance + 1
        output[written : written + length] = (pattern * repeats)[:length]
