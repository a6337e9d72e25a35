"""LZF decompression, which compressed PCD files use: runs of literal bytes and copies of earlier output."""


class LzfError(ValueError):
    """The compressed bytes do not decode to the size they promise."""


def decompress(packed, size):
    """The `size` bytes that `packed` stands for.

    A control byte below 32 is followed by that many literal bytes plus one. Any other holds a length in its upper
    three bits (7: one more byte adds to it) and the upper five bits of a distance back, whose rest follows.
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


def _copy_within(output, source, written, length):
    """Copies from earlier output; where the two overlap, the copied bytes repeat."""
    distance = written - source
    if distance >= length:
        output[written : written + length] = output[source : source + length]
    else:
        pattern = output[source:written]
        repeats = length // distance + 1
        output[written : written + length] = (pattern * repeats)[:length]
