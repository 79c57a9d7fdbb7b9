"""Poster art for a concert: an SVG drawn from its data, the same for ever for the same data."""

import re
import textwrap
from dataclasses import dataclass
from hashlib import sha256
from xml.sax.saxutils import escape, quoteattr

from services.gateway.web.dice import Dice
from services.gateway.web.poster_art import FAMILIES, HEIGHT, PALETTES, WIDTH, Art, Palette

# Raised whenever the drawing changes, so that browsers fetch the new picture.
REVISION = 1

# Which family suits which genre; a genre that is not listed takes one by its name.
_FAMILY_OF = {
    "rock": "type",
    "metal": "type",
    "punk": "type",
    "electronic": "geometric",
    "techno": "geometric",
    "house": "geometric",
    "jazz": "halftone",
    "soul": "halftone",
    "blues": "halftone",
    "classical": "waves",
    "ambient": "waves",
    "folk": "waves",
    "pop": "rays",
    "disco": "rays",
    "indie": "rings",
    "alternative": "rings",
    "hip-hop": "columns",
    "rap": "columns",
    "world": "weave",
    "latin": "weave",
    "reggae": "weave",
}
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Widths of bold capitals in ems, on the wide side, because the reader's own font is not known.
_LETTER_EMS = {"W": 1.05, "M": 0.95, "O": 0.82, "Q": 0.82, "I": 0.4, "J": 0.5, " ": 0.34, ".": 0.36, "'": 0.3}
# Baseline to baseline, of the font size: capitals have no descenders, but some carry accents.
_LEADING = 1.0
_TIGHT_LEADING = 0.86  # of wood type, whose lines nearly touch
_FONT = "font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,sans-serif\""
_MARGIN = 24
LONGEST_WORD = 16  # letters; what is longer is broken


@dataclass(frozen=True)
class Subject:
    """What a poster shows. `when` and `where` are short lines, already in words."""

    concert_id: str
    artist: str
    genre: str
    when: str
    where: str

    @property
    def version(self) -> str:
        """Changes whenever the picture would: part of its address and its entity tag."""
        parts = (str(REVISION), self.concert_id, self.artist, self.genre, self.when, self.where)
        return sha256("\x00".join(parts).encode(errors="replace")).hexdigest()[:12]


def draw(subject: Subject) -> str:
    """The poster as one SVG document, 400 × 500 units, well-formed whatever the data holds."""
    dice = Dice(subject.concert_id)
    palette = dice.pick(PALETTES)
    art = FAMILIES[family_of(subject.genre)](palette, dice)
    name = _clean(subject.artist)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f" aria-label={quoteattr(name)}>"
        f'<path fill="{palette.ground}" d="M0 0H{WIDTH}V{HEIGHT}H0z"/>{art.shapes}'
        f"{_lettering(name, art, palette)}{_footer(subject, palette)}</svg>"
    )


def family_of(genre: str) -> str:
    """The name of the composition family for a genre, of any spelling."""
    key = re.sub(r"[^a-z]+", "-", genre.lower()).strip("-")
    if key in _FAMILY_OF:
        return _FAMILY_OF[key]
    return Dice(key).pick(tuple(FAMILIES))


def _lettering(name: str, art: Art, palette: Palette) -> str:
    lines = _break_lines(name.upper(), colossal=art.colossal)
    largest, leading = (190, _TIGHT_LEADING) if art.colossal else (62, _LEADING)
    sizes = [_size_of(line, largest) for line in lines]
    block = sum(sizes) * leading
    room = art.bottom - art.top
    # Wood type: where the letters are the picture they grow tall, elsewhere they only shrink to fit.
    tall = min(2.4 if art.colossal else 1.0, room / block)
    placed, baseline = "", 0.0
    for line, size in zip(lines, sizes, strict=True):
        baseline += size * leading
        placed += f'<text x="{_MARGIN}" y="{baseline - block:.1f}" font-size="{size}">{escape(line)}</text>'
    edge = f' stroke="{palette.ground}" stroke-width="9" paint-order="stroke"' if art.colossal else ""
    return (
        f'<g fill="{palette.ink}"{edge} {_FONT} font-weight="800" font-stretch="condensed"'
        f' transform="translate(0 {art.bottom}) scale(1 {tall:.2f})">{placed}</g>'
    )


def _break_lines(name: str, *, colossal: bool) -> list[str]:
    width = max((min(len(word), LONGEST_WORD) for word in name.split()), default=1)
    lines = textwrap.wrap(name, max(6, width) if colossal else 15, max_lines=4 if colossal else 3, placeholder="…")
    return lines or ["…"]


def _size_of(line: str, largest: float) -> float:
    ems = sum(_LETTER_EMS.get(letter, 0.74) for letter in line)
    return round(min((WIDTH - 2 * _MARGIN) / max(ems, 0.74), largest), 1)


def _footer(subject: Subject, palette: Palette) -> str:
    line = f"{_clean(subject.when)}  ·  {_clean(subject.where)}"
    size = min(19.0, round((WIDTH - 2 * _MARGIN) / (0.62 * max(len(line), 1)), 1))
    return (
        f'<text x="{_MARGIN}" y="478" fill="{palette.ink}" font-size="{size}" font-weight="600" {_FONT}>'
        f"{escape(line)}</text>"
    )


def _clean(text: str) -> str:
    """Without what XML 1.0 forbids (section 2.2), so that no name can break the document."""
    return " ".join(_UNPRINTABLE.sub(" ", text).split())
