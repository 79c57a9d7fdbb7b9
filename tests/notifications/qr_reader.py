"""Reads small QR codes (ISO/IEC 18004, those with one block) from a clean image, to check what ours say."""

import io
from collections.abc import Callable, Iterator

from PIL import Image

ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
FORMAT_MASK = 0x5412
L, M, Q, H = 0b01, 0b00, 0b11, 0b10
DATA_CODEWORDS = {  # by version and level
    (1, L): 19,
    (1, M): 16,
    (1, Q): 13,
    (1, H): 9,
    (2, L): 34,
    (2, M): 28,
    (2, Q): 22,
    (2, H): 16,
    (3, L): 55,
    (3, M): 44,
}
MASKS: list[Callable[[int, int], bool]] = [
    lambda r, c: (r + c) % 2 == 0,
    lambda r, _: r % 2 == 0,
    lambda _, c: c % 3 == 0,
    lambda r, c: (r + c) % 3 == 0,
    lambda r, c: (r // 2 + c // 3) % 2 == 0,
    lambda r, c: r * c % 2 + r * c % 3 == 0,
    lambda r, c: (r * c % 2 + r * c % 3) % 2 == 0,
    lambda r, c: ((r + c) % 2 + r * c % 3) % 2 == 0,
]
Matrix = list[list[bool]]


def read_qr(png: bytes, *, scale: int, border: int) -> str:
    """The text of a QR image whose modules are `scale` pixels wide, with `border` modules around them."""
    matrix = _matrix(png, scale, border)
    size = len(matrix)
    level, mask = _format(matrix)
    bits = [matrix[r][c] ^ MASKS[mask](r, c) for r, c in _data_modules(size)]
    count = DATA_CODEWORDS[(size - 17) // 4, level] * 8
    return _text("".join("1" if bit else "0" for bit in bits[:count]))


def _matrix(png: bytes, scale: int, border: int) -> Matrix:
    image = Image.open(io.BytesIO(png)).convert("L")
    size = image.width // scale - 2 * border
    assert image.width == image.height == (size + 2 * border) * scale

    def dark(row: int, column: int) -> bool:
        middle = scale // 2
        pixel = image.getpixel(((column + border) * scale + middle, (row + border) * scale + middle))
        return pixel == 0

    return [[dark(row, column) for column in range(size)] for row in range(size)]


def _format(matrix: Matrix) -> tuple[int, int]:
    places = [(8, c) for c in (0, 1, 2, 3, 4, 5, 7, 8)] + [(r, 8) for r in (7, 5, 4, 3, 2, 1, 0)]
    value = int("".join("1" if matrix[r][c] else "0" for r, c in places), 2) ^ FORMAT_MASK
    return value >> 13, value >> 10 & 0b111


def _data_modules(size: int) -> Iterator[tuple[int, int]]:
    """The places of data, in reading order: upwards and downwards in strips two wide, from the right."""
    upwards = True
    for right in [*range(size - 1, 6, -2), 5, 3, 1]:
        rows = range(size - 1, -1, -1) if upwards else range(size)
        for row in rows:
            for column in (right, right - 1):
                if not _is_pattern(row, column, size):
                    yield row, column
        upwards = not upwards


def _is_pattern(row: int, column: int, size: int) -> bool:
    finder = (row < 9 and (column < 9 or column >= size - 8)) or (row >= size - 8 and column < 9)
    alignment = size > 21 and abs(row - (size - 7)) <= 2 and abs(column - (size - 7)) <= 2
    return finder or alignment or row == 6 or column == 6


def _text(bits: str) -> str:
    mode = int(bits[:4], 2)
    if mode == 0b0100:  # bytes
        count, bits = int(bits[4:12], 2), bits[12:]
        return bytes(int(bits[8 * n : 8 * n + 8], 2) for n in range(count)).decode()
    assert mode == 0b0010  # alphanumeric: two characters in 11 bits, a last single one in 6
    count, bits = int(bits[4:13], 2), bits[13:]
    pairs = [divmod(int(bits[11 * n : 11 * n + 11], 2), 45) for n in range(count // 2)]
    text = "".join(ALPHANUMERIC[first] + ALPHANUMERIC[second] for first, second in pairs)
    start = 11 * (count // 2)
    return text + (ALPHANUMERIC[int(bits[start : start + 6], 2)] if count % 2 else "")
